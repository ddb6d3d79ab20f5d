"""What the kernel counts for the whole machine (proc_vmstat, Linux 4.13)."""

from pathlib import Path

VMSTAT = Path("/proc/vmstat")


def oom_kills(table: Path = VMSTAT) -> int | None:
    """Count the processes that were ended for want of memory; None where it is not counted."""
    try:
        text = table.read_text()
    except OSError:
        return None
    count = f"\n{text}".partition("\noom_kill ")[2].partition("\n")[0]
    return int(count) if count.isdigit() else None
