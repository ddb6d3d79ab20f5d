"""What the kernel counts for the whole machine (proc_vmstat, Linux 4.13)."""

from pathlib import Path

VMSTAT = Path("/proc/vmstat")


def oom_kills(table: Path = VMSTAT) -> int | None:
    """Count the processes that were ended for want of memory; None where it is not counted."""
    try:
        lines = table.read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(" ", 1) for line in lines if " " in line)
    return int(counts["oom_kill"]) if counts.get("oom_kill", "").isdigit() else None
