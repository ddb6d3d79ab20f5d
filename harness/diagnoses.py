"""Every diagnosis by its code: what is wrong, why, what to do, and what a client would see.

The codes never change their meaning. By hundreds: 1 the package, 2 loading, 3 signatures, 4 the
request, 5 the prediction, 6 the response, 7 the platform, 8 what only lint looks at, 9 the sandbox
of the test. Most of the causes are those that users report most often to the serving toolkits.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

from harness.errors import SpecError


@dataclass(frozen=True)
class Entry:
    """One kind of mistake."""

    title: str
    cause: str
    fix: str
    client: str


TABLE: Final[dict[str, Entry]] = {
    # ------------------------------------------------------------ the package
    "HP101": Entry(
        "the handler is not where the server looks",
        "The server imports the module that SAGEMAKER_PROGRAM names, inference by default, from "
        "code/ and, but on sklearn and xgboost, from the package's root.",
        "Put the file into code/, and set SAGEMAKER_PROGRAM when it is not called inference.py.",
        "The stack's defaults run without a word: 'Please provide a model_fn implementation' on "
        "toolkit, a missing HF_TASK on huggingface; on sklearn and xgboost the container exits.",
    ),
    "HP102": Entry(
        "SAGEMAKER_PROGRAM is a path",
        "The server imports a module by its name, and a name with a slash finds nothing.",
        "Set the file's name alone, such as inference.py, and put the file into code/.",
        "As for HP101: the defaults run without a word.",
    ),
    "HP103": Entry(
        "the archive has one folder at its root",
        "The archive was made of the directory instead of what is in it.",
        "Pack the content: tar -czf model.tar.gz -C model . (the last dot is the point).",
        "The model's files and code/ are not found where model_dir says; TorchServe alone goes "
        "into a single directory.",
    ),
    "HP104": Entry(
        "'._' files of macOS are in the package",
        "tar on macOS stores resource forks beside each file, and a listing finds them.",
        "Pack with COPYFILE_DISABLE=1.",
        "Whatever the handler makes of a file that is no model.",
    ),
    "HP105": Entry(
        "requirements.txt lies where the server ignores it",
        "Only code/requirements.txt is installed, at the start of the container; never one at the "
        "package's root, and none for each model of a multi-model endpoint.",
        "Move it to code/requirements.txt.",
        "ModuleNotFoundError, as for HP106.",
    ),
    "HP106": Entry(
        "missing dependencies: a listed package is not installed here",
        "code/requirements.txt lists it, and the environment that ran the handler has it not.",
        'Run with {"requirements": "auto"} (--env-from requirements), or install it.',
        "None, where the container installs it from code/requirements.txt.",
    ),
    "HP107": Entry(
        "missing dependencies: an imported package is listed nowhere",
        "The handler imports what neither the environment nor code/requirements.txt has.",
        "List it in code/requirements.txt.",
        "What the stack does when the handler cannot be imported: see `consequences`.",
    ),
    "HP108": Entry(
        "the package exists only inside AWS containers",
        "sagemaker_containers, sagemaker_xgboost_container and their like are not on the index.",
        "Import it only where it is needed, or give a stand-in with sys_path.",
        "None: the container has it.",
    ),
    "HP109": Entry(
        "the module cannot be read",
        "Its source is no Python of the version that ran it.",
        "Mend the line named.",
        "What the stack does when the handler cannot be imported: see `consequences`.",
    ),
    "HP110": Entry(
        "the installed version of a package lacks what is imported",
        "The package is there; the module or the name was added, moved or removed in another "
        "version of it.",
        "Pin the version that the code was written for in code/requirements.txt, or change the "
        "import.",
        "ModuleNotFoundError or ImportError, as for HP107; AttributeError where it is first used.",
    ),
    "HP111": Entry(
        "missing dependencies: an import needs something more",
        "A package that is there needs an optional package, or a library of the system.",
        "List the optional package in code/requirements.txt; a library of the system is a matter "
        "of the image.",
        "ImportError, as for HP107.",
    ),
    # ------------------------------------------------------------ loading
    "HP201": Entry(
        "the handler cannot be loaded, and the endpoint hides it",
        "What model_fn or the import raises is handled by each server in its own way.",
        "Mend what it raised; alarm on errors of requests, not on /ping.",
        "toolkit: /ping stays 200 and each request is 500; huggingface: 400; pytorch: the worker "
        "restarts for ever; sklearn and xgboost: /ping and requests are 500.",
    ),
    "HP202": Entry(
        "the pickle belongs to __main__",
        "The class was defined in the script that saved the model, so the pickle looks for it in "
        "__main__, which is the server's own main module there.",
        "Move the class into a module of code/, import it from there, and save the model anew.",
        "As for HP201: AttributeError, can't get attribute on module '__main__'.",
    ),
    "HP203": Entry(
        "the model was saved by another version",
        "Pickles hold the insides of objects, which change between versions of their library.",
        "Pin the version that saved the model in code/requirements.txt, or save it anew.",
        "A warning in the log, wrong predictions, or as for HP201.",
    ),
    "HP204": Entry(
        "loading takes longer than a server waits",
        "gunicorn gives a worker 60 s, TorchServe 120 s; an attempt of /ping has 2 s.",
        "Load less at start, or raise the server's timeout and the endpoint's "
        "ContainerStartupHealthCheckTimeoutInSeconds.",
        "The worker is ended and started again; the endpoint may never become InService.",
    ),
    "HP205": Entry(
        "model_fn is missing",
        "toolkit, sklearn and xgboost cannot load a model by themselves.",
        "Define model_fn(model_dir).",
        "500: 'Please provide a model_fn implementation.'",
    ),
    "HP206": Entry(
        "the handler installs packages while it runs",
        "It calls pip, as notebooks do; each worker of the server does so again, at each start.",
        "List the packages in code/requirements.txt.",
        "A slow start, or none in a VPC without a way to the index.",
    ),
    "HP207": Entry(
        "model directory or required files missing",
        "FileNotFoundError names a path that is not there; mostly a file that was not packed, or a "
        "path that holds on one machine only.",
        "Pack the file, or name the one that is there, below the model_dir that model_fn gets.",
        "As for HP201.",
    ),
    "HP208": Entry(
        "the model's file does not hold what its reader expects",
        "It is empty, cut short, a pointer of Git LFS in place of the model, or of another format.",
        "Pack the file itself (git lfs pull), and load it with the library that saved it.",
        "As for HP201.",
    ),
    # ------------------------------------------------------------ signatures
    "HP301": Entry(
        "the server cannot call the function with its parameters",
        "Arguments are given by position. The toolkits count parameters of every kind, defaults, "
        "*args and **kwargs too: as many as are given, or one more for the context.",
        "Write model_fn(model_dir), input_fn(body, content_type), predict_fn(data, model), "
        "output_fn(prediction, accept), each with a context or without.",
        "500 (huggingface: 400) with a TypeError about the number of arguments.",
    ),
    "HP302": Entry(
        "a function is called otherwise than the server's",
        "The server looks for model_fn, input_fn, predict_fn, output_fn and transform_fn only.",
        "Rename the function.",
        "The stack's default runs in its place.",
    ),
    "HP303": Entry(
        "an async function or a generator",
        "The server calls it plainly and gets a coroutine or a generator, unfinished.",
        "Make it a plain function; run coroutines with asyncio.run inside it.",
        "503 'Unsupported model output data type.', or 500.",
    ),
    "HP304": Entry(
        "a parameter gets the server's context",
        "A function with one parameter more than the server gives gets the context as its last, "
        "whatever that parameter is called.",
        "Name it context, or take the default out of the parameters.",
        "Whatever the function makes of a context object in that place.",
    ),
    "HP305": Entry(
        "the parameters are the other way round",
        "predict_fn is called with (data, model), by position.",
        "Write predict_fn(data, model).",
        "500: the model has no such method, or the data is not callable.",
    ),
    "HP306": Entry(
        "transform_fn stands beside a function that it replaces",
        "The server refuses a module with transform_fn and input_fn, predict_fn or output_fn.",
        "Keep transform_fn, or the other three.",
        "500 at each request (pytorch: the worker dies at start).",
    ),
    # ------------------------------------------------------------ the request
    "HP401": Entry(
        "a single row becomes one-dimensional",
        "numpy's readers give a line of CSV as shape (n,), and two lines as (2, n).",
        "Reshape in input_fn: data.reshape(1, -1) when data.ndim == 1, or loadtxt with ndmin=2.",
        "500 for single rows: 'Expected 2D array, got 1D array instead'.",
    ),
    "HP402": Entry(
        "with a charset the body is not decoded",
        "The server decodes application/json and text/csv exactly; with '; charset=utf-8' the body "
        "is bytes, and content_type is no longer equal to 'text/csv'.",
        "Compare content_type.split(';')[0], and decode the body when it is not a str.",
        "500 between containers: sklearn and xgboost answer 'text/csv; charset=utf-8'.",
    ),
    "HP403": Entry(
        "input_fn takes bytes for text",
        "Only application/json and text/csv, exactly, arrive as str. All else is a bytearray on "
        "toolkit, pytorch and huggingface (no bytes), and bytes on sklearn and xgboost.",
        "Decode first: body.decode() if not isinstance(body, str).",
        "500 (huggingface: 400) with a TypeError or AttributeError.",
    ),
    "HP404": Entry(
        "input_fn takes text for bytes",
        "application/json and text/csv, exactly, arrive as str, which has no decode().",
        "Decode only what is not a str.",
        "500 (huggingface: 400): 'str' object has no attribute 'decode'.",
    ),
    "HP405": Entry(
        "a form has no body",
        "The model servers take application/x-www-form-urlencoded, curl's default, for parameters.",
        "Send a content type: curl -H 'Content-Type: text/csv'.",
        "input_fn gets None.",
    ),
    "HP406": Entry(
        "the stack's default input_fn does not read this content type",
        "The handler defines no input_fn, and the defaults know few types, by their exact name.",
        "Define input_fn, or send a type that the stack reads (docs/stacks.md).",
        "500, and on huggingface 400; never 415.",
    ),
    "HP407": Entry(
        "invalid JSON format in the request body",
        "The body stops being JSON at the place shown.",
        "Mend the sample; where clients may send this, answer it with a clear error.",
        "500 (huggingface: 400) with the JSONDecodeError.",
    ),
    "HP408": Entry(
        "CSV parsing or format error",
        "A row has another number of cells than the first, or a cell is no number.",
        "Mend the sample, or read it as it is: names, text and empty cells included.",
        "500 (huggingface: 400) with the reader's error.",
    ),
    "HP409": Entry(
        "the Parquet or numpy body is no file of that kind",
        "Such files begin with fixed bytes, and Parquet ends with them, too.",
        "Send the file byte for byte: no text mode, no base64, no part of it.",
        "500 (huggingface: 400) with the reader's error.",
    ),
    "HP410": Entry(
        "unsupported content type",
        "input_fn refuses the content type that the request has.",
        "Send a type that it reads, or read this one; name the type in the error.",
        "500 (huggingface: 400), never 415.",
    ),
    "HP411": Entry(
        "the body is not UTF-8",
        "The server decodes application/json and text/csv as UTF-8 before input_fn is called.",
        "Save the file as UTF-8, or send it under another content type and decode it in input_fn.",
        "500, or on the model servers no answer at all; the handler never sees the request.",
    ),
    # ------------------------------------------------------------ the prediction
    "HP501": Entry(
        "the model was fitted on another number of features",
        "The model says how many features it was fitted on, and the data has another number.",
        "Send as many columns as at training; leave out the label and the index.",
        "500 with the library's ValueError.",
    ),
    "HP502": Entry(
        "the columns are not those that the model was fitted on",
        "Libraries compare the names of columns, and their order, with those of the training.",
        "Select the columns in input_fn: table[model.feature_names_in_].",
        "500 with the library's ValueError.",
    ),
    "HP503": Entry(
        "a column or key that the data does not have",
        "KeyError names what was looked for; the data has other columns.",
        "Give input_fn's table its names (CSV without a header has none), or send the column.",
        "500 with the KeyError.",
    ),
    "HP504": Entry(
        "missing values reach a model that takes none",
        "Empty cells became NaN in input_fn, and the model refuses NaN.",
        "Fill them in input_fn as at training, or put an imputer into the model's pipeline.",
        "500 with the library's ValueError.",
    ),
    "HP505": Entry(
        "text reaches a model that takes numbers",
        "A column of text was not encoded before the model got it.",
        "Encode it in input_fn as at training, or put the encoder into the model's pipeline.",
        "500 with the library's ValueError.",
    ),
    "HP506": Entry(
        "one function gives what the next does not take",
        "The next function's annotation, or how it failed, shows that it wants another kind of "
        "data.",
        "Convert the value at the end of the first function, or at the start of the next.",
        "500 with a TypeError or AttributeError.",
    ),
    "HP507": Entry(
        "predict_fn takes the model for something else",
        "What model_fn returns does not have what predict_fn asks it for.",
        "Return the model itself, or take it out of what model_fn returns: model['model'].",
        "500 with an AttributeError or TypeError.",
    ),
    # ------------------------------------------------------------ the response
    "HP601": Entry(
        "the returned value cannot be sent",
        "The model servers send str, bytes and what json.dumps takes; Flask text, dicts and lists.",
        "Return text: json.dumps(prediction.tolist()), or bytes of numpy.save.",
        "503 'Unsupported model output data type.' (sklearn, xgboost: 500).",
    ),
    "HP602": Entry(
        "a tuple's second part is no content type",
        "A tuple is (body, content type) here; (body, 200) is Flask's habit.",
        "Return the body alone, or (body, 'application/json').",
        "500 'Worker died.'; the worker starts again and loads the model anew.",
    ),
    "HP603": Entry(
        "huggingface serialises the tuple",
        "That toolkit does not unpack (body, content type): it sends both as a JSON list.",
        "Return the body alone.",
        "200 with [body, content type].",
    ),
    "HP604": Entry(
        "a bare text is served as HTML",
        "On sklearn and xgboost Flask takes a str or bytes for a page.",
        "Return (body, accept), or a worker.Response.",
        "200 with Content-Type: text/html; charset=utf-8.",
    ),
    "HP605": Entry(
        "the response has another type than was asked for",
        "Accept is handed to output_fn as it was sent, lists and q-values included, and on the "
        "model servers becomes the content type of the response as it is.",
        "Choose one type of the list in output_fn and return (body, that type).",
        "A content type that no client understands, such as 'text/csv, application/json'.",
    ),
    "HP606": Entry(
        "the exception's message is not ASCII",
        "The toolkit sends the message as the HTTP reason, and counts characters for bytes.",
        "Raise messages in ASCII.",
        "500 'Worker died.' instead of the message.",
    ),
    "HP607": Entry(
        "the client sees nothing of the error",
        "Flask answers each exception with a page that does not say what happened.",
        "Catch what a client can mend and return worker.Response(message, status=400).",
        "500, a page of HTML.",
    ),
    "HP608": Entry(
        "the response holds NaN, which is no JSON",
        "json.dumps writes NaN and Infinity, and strict parsers refuse them.",
        "Replace them, or use json.dumps(..., allow_nan=False) and handle the ValueError.",
        "200 with a body that many clients cannot parse; huggingface's default: 400.",
    ),
    "HP609": Entry(
        "the response is larger than the server carries",
        "multi-model-server and TorchServe carry 6,553,500 bytes each way.",
        "Set MMS_MAX_RESPONSE_SIZE or TS_MAX_RESPONSE_SIZE, or answer with less.",
        "500 'Worker died.'",
    ),
    "HP610": Entry(
        "the stack's default output_fn does not write this accept type",
        "The handler defines no output_fn, and the defaults know JSON, CSV and npy.",
        "Define output_fn, or ask for a type that the stack writes (docs/stacks.md).",
        "500, and on huggingface 400; never 406.",
    ),
    "HP611": Entry(
        "the prediction holds what json cannot write",
        "json.dumps writes Python's own numbers, texts, lists and dicts; no arrays, no numbers of "
        "numpy, no tables.",
        "Convert first: prediction.tolist(), float(score), table.to_dict('records').",
        "500 with a TypeError: not JSON serializable.",
    ),
    "HP612": Entry(
        "unsupported accept type",
        "output_fn refuses the accept type that the request has.",
        "Ask for a type that it writes, or write this one; */* is for any.",
        "500 (huggingface: 400), never 406.",
    ),
    "HP620": Entry(
        "an error is answered with status 200",
        "The handler catches an exception and returns a body that tells of it.",
        "Let the exception out, or raise one of the toolkit's errors with a status (sklearn, "
        "xgboost: return worker.Response(message, status=400)).",
        "200 with the error as the answer: no alarm, no retry.",
    ),
    "HP621": Entry(
        "a Response object goes on as data",
        "Flask's Response is understood from output_fn on sklearn and xgboost, nowhere else.",
        "Raise an exception in input_fn and predict_fn; return (body, content type) in output_fn.",
        "Whatever the next function makes of the object; from output_fn 503.",
    ),
    "HP622": Entry(
        "the answer is a placeholder",
        "null, an empty list or a word such as 'error' stands in place of a prediction.",
        "Raise an exception where there is no prediction.",
        "200 with nothing in it.",
    ),
    "HP623": Entry(
        "the body is not what its content type says",
        "It is empty, or does not parse as that type: str() of a dict is no JSON, and JSON is no "
        "CSV.",
        "Write the body by the accept type that was asked for: json.dumps, csv, numpy.save.",
        "200 with a body that clients cannot parse.",
    ),
    "HP624": Entry(
        "different requests have one answer",
        "Looked for with suspect = constant_predictions: the input is ignored, or a default is "
        "returned. A model may also be right in saying so.",
        "See whether predict_fn uses what input_fn gave.",
        "The same prediction for everyone.",
    ),
    "HP625": Entry(
        "the header of a CSV is scored as a row",
        "Looked for with suspect = scored_header: there are as many predictions as lines, and the "
        "first line names the columns.",
        "Skip the header in input_fn, or send none.",
        "One prediction too many, each of the others one place late.",
    ),
    # ------------------------------------------------------------ the platform
    "HP701": Entry(
        "a request takes longer than an endpoint waits",
        "A real-time invocation has 60 s from end to end; gunicorn and TorchServe end theirs then.",
        "Make it faster, send less at once, or use asynchronous inference (15 min by default).",
        "A ModelError after 60 s; the work goes on for nobody.",
    ),
    "HP702": Entry(
        "the request is larger than the server takes",
        "multi-model-server and TorchServe take 6,553,500 bytes.",
        "Set MMS_MAX_REQUEST_SIZE or TS_MAX_REQUEST_SIZE, or send less at once.",
        "413 with an empty body; the handler never sees the request.",
    ),
    "HP703": Entry(
        "each worker of the server loads the model again",
        "The servers start a worker for each processor, and each calls model_fn.",
        "Set SAGEMAKER_MODEL_SERVER_WORKERS, or take an instance with more memory.",
        "Workers that die for want of memory: 507, or 500 'Worker died.'",
    ),
    "HP704": Entry(
        "on a multi-model endpoint code is shared, or requirements are ignored",
        "sklearn and xgboost serve every model with the one module that SAGEMAKER_SUBMIT_DIRECTORY "
        "names; the others take each model's own code/, and install no model's requirements.txt.",
        "Keep one handler for all models, and build what it needs into the image.",
        "The answer of another model's code, or ModuleNotFoundError.",
    ),
    "HP705": Entry(
        "insufficient memory",
        "The process asked for more than the limit, or than the machine has.",
        "Load or compute less at once (memory maps, smaller batches), raise the limit (--memory), "
        "or take an instance with more.",
        "507, or 500 'Worker died.'",
    ),
    # ------------------------------------------------------------ lint
    "HP801": Entry(
        "loading the pickle runs a command",
        "The pickle calls a function that no model needs, such as os.system.",
        "Do not load it; make the model anew from a source that you trust.",
        "Whatever the command does, on the endpoint, with the endpoint's role.",
    ),
    "HP803": Entry(
        "a compiled file of another system",
        "Endpoints run Linux.",
        "Take the file of the Linux wheel: pip download --platform manylinux2014_x86_64.",
        "ImportError: invalid ELF header.",
    ),
    "HP804": Entry(
        "compiled files that do not go together",
        "One package holds files for different processors or versions of Python.",
        "Build all of them for the endpoint's instance and container.",
        "ImportError on one of them.",
    ),
    "HP805": Entry(
        "something was packed by accident",
        "Histories, caches and copies of notebooks came along.",
        "Leave them out when packing.",
        "A larger download, and what was in them.",
    ),
    "HP806": Entry(
        "a secret is written into the package",
        "Whoever can read the model's bucket can read it.",
        "Take it out, revoke it, and give the endpoint a role or a secret by its id.",
        "Nothing, until someone uses it.",
    ),
    "HP807": Entry(
        "the package is large",
        "It is downloaded and unpacked before the first answer.",
        "Leave out what serving does not need: checkpoints, optimizer states, data.",
        "A slow start; serverless endpoints take 10 GiB at most, image included.",
    ),
    "HP808": Entry(
        "the package holds very many files",
        "Each is unpacked by itself.",
        "Pack what belongs together into one file.",
        "A slow start.",
    ),
    # ------------------------------------------------------------ the sandbox of the test
    "HP901": Entry(
        "the sandbox of this test refused a write",
        "Under landlock and bwrap a handler writes only below its model directory, TMPDIR and "
        "HOME; a container lets it write to other places, such as /tmp.",
        "Write below tempfile.gettempdir(), which is right everywhere; or test it with --isolation "
        "bwrap, which has a /tmp of its own, or with --isolation process, which refuses nothing.",
        "Nothing of this, where the container lets it write there.",
    ),
    "HP902": Entry(
        "the sandbox of this test has no network",
        "A test has a network only where it is asked for; an endpoint has one, unless it was made "
        "with network isolation or in a VPC without a way out.",
        "Pack what it fetches with the model; or test it with --network all.",
        "Nothing of this, where the endpoint reaches the address; what was raised, where not.",
    ),
}


def explain(code: str) -> Entry:
    """Give the entry of a code, whatever its case. Raises SpecError, with the nearest codes."""
    entry = TABLE.get(code.upper())
    if entry is None:
        close = difflib.get_close_matches(code.upper(), TABLE, n=3)
        near = f"; near it are {', '.join(close)}" if close else ""
        raise SpecError(f"there is no diagnosis {code!r}{near}; `handlerproof explain` lists all")
    return entry
