"""``.envc/relocate.sh`` for trees of conda packages: replaces the placeholders in their files with the tree's path.

The script does what `conda_prefix.complete_prefix` does. It needs a POSIX shell and a Python, by default the tree's
own. It contains the source text of `unpack.placeholders`. Running it again in the same place does nothing. A tree that
was moved afterwards must be unpacked again, since it is no longer known how long a path its files can hold. Windows has
no such shell.

The texts below and `unpack.placeholders` are bytes of bundles: changing one changes the format (FORMAT.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from envc.shipping.prefix.conda_prefix import UNKNOWN, history_head
from envc.shipping.prefix.relocate import CHECKS
from envc.shipping.unpack import placeholders
from envc_solvers.target import Platform

_SCRIPT = """\
#!/bin/sh
# Lets the conda packages of the tree that this file stands in name the place where it is now.
# Usage: sh .envc/relocate.sh [PYTHON]; else ENVC_PYTHON, else the tree's own, else one on PATH, each from 3.7 on.
case $0 in */*) here=${0%/*} ;; *) here=. ;; esac
root=$(CDPATH= cd -- "$here/.." && pwd -P) || exit 1
if [ $# -eq 0 ]; then
    if [ -n "${ENVC_PYTHON:-}" ]; then set -- "$ENVC_PYTHON"; else set -- "$root/bin/python" python3 python; fi
fi
for python; do
    command -v "$python" >/dev/null || continue
    # The tree's own does not know yet where its libraries are.
    case $python in
        "$root"/*) libraries=$root/lib ;;
        *) libraries= ;;
    esac
    /usr/bin/env ${libraries:+"LD_LIBRARY_PATH=$libraries" "DYLD_LIBRARY_PATH=$libraries"} \\
        "$python" -I -S -B - "$root" <<'END'
@PROGRAM@END
    case $? in
        0) exit 0 ;;
        1) exit 1 ;;
    esac
done
echo "relocate.sh: no Python can be run among: $*" >&2
exit 1
"""

# Ends with 1 if the tree cannot be used here. A Python that cannot run this ends with another code by itself.
_PROGRAM = """\
import hashlib, json, os, subprocess, sys

root = sys.argv[1]
PLATFORM = @PLATFORM@
needs = @NEEDS@
state = os.path.join(root, ".envc")


def read(path):
    with open(os.path.join(root, path), "rb") as stream:
        return stream.read()


def note(name):
    try:
        return read(os.path.join(".envc", name)).decode()
    except FileNotFoundError:
        return ""


def put(path, pieces, mode=0o644, mtime=@MTIME@):
    # A rename: whoever reads the old file at this moment is not disturbed.
    draft = os.path.join(state, "draft")
    digest = hashlib.sha256()
    with open(draft, "wb") as stream:
        for piece in pieces:
            digest.update(piece)
            stream.write(piece)
    os.chmod(draft, mode)
    os.utime(draft, (mtime, mtime))
    os.replace(draft, os.path.join(root, path))
    return digest.hexdigest()


def rewrite(path, entry):
    status = os.stat(os.path.join(root, path))
    data, old = read(path), entry["prefix_placeholder"]
    try:
        if entry["file_mode"] == "text":
            pieces = [rewrite_text(data, old, root, PLATFORM)]
        else:
            pieces = list(rewrite_binary(data, old, root))
    except PrefixTooLong as error:
        message = "relocate.sh: %s has room for a path of %d bytes; %s has %d: move the tree to a shorter one"
        sys.exit(message % (path, error.room, root, error.length))
    digest = put(path, pieces, status.st_mode & 0o777, status.st_mtime)
    if PLATFORM == "osx-arm64" and entry["file_mode"] == "binary":
        # Apple silicon runs no program whose signature is not its own.
        place = os.path.join(root, path)
        if subprocess.call(["@CODESIGN@", "--sign", "-", "--force", place], stderr=subprocess.DEVNULL):
            print("relocate.sh: %s could not be signed" % path, file=sys.stderr)
        digest = hashlib.sha256(read(path)).hexdigest()
    return digest


def settle():
    record = json.loads(read(".envc/record.json").decode())
    lines = @HEAD@
    for item in record["objects"]:
        if item["kind"] != "conda":
            continue
        artifact = item["index"]["artifact"]
        own = {m["path"] for m in item["index"]["members"] if record["winners"].get(m["path"], artifact) == artifact}
        stem = item["file"][: -len(".conda" if item["file"].endswith(".conda") else ".tar.bz2")]
        path = "conda-meta/%s.json" % stem
        meta = json.loads(read(path).decode())
        kept = []
        for entry in meta["paths_data"]["paths"]:
            place = entry["_path"]
            if entry["path_type"] == "directory":
                os.makedirs(os.path.join(root, place), exist_ok=True)
            elif place not in own:
                continue
            elif entry.get("prefix_placeholder"):
                entry["sha256_in_prefix"] = rewrite(place, entry)
            kept.append(entry)
        meta["paths_data"]["paths"] = kept
        meta["files"] = [entry["_path"] for entry in kept if entry["path_type"] != "directory"]
        meta["channel"] = @UNKNOWN@
        meta["url"] = "/".join((meta["channel"], meta["subdir"] or PLATFORM, meta["fn"]))
        meta["link"] = {"source": "", "type": 1}
        put(path, [json.dumps(meta, separators=(",", ":"), ensure_ascii=False).encode() + b"\\n"])
        subdir = "/" + meta["subdir"] if meta["subdir"] else ""
        channel = @UNKNOWN@.rpartition("/")[2]
        lines.append("+%s%s::%s-%s-%s" % (channel, subdir, meta["name"], meta["version"], meta["build"]))
    put("conda-meta/history", ["".join(line + "\\n" for line in lines).encode()])


hydrated = json.loads(note("prefix.json") or "{}").get("place", "")
place = note("place") or hydrated
if place == root:
    sys.exit(0)
begun = note("begun")
if place or begun not in ("", root):
    message = "relocate.sh: the files of this tree name %s: move it back, or unpack it again here"
    sys.exit(message % (place or begun))
check_machine(needs)
try:
    put(".envc/begun", [root.encode()])
    settle()
    put(".envc/place", [root.encode()])
except OSError as error:
    sys.exit("relocate.sh: %s" % error)
"""


def relocate_conda_script(platform: Platform, requirements: Mapping[str, str]) -> bytes | None:
    """The script for one kind of environment, with the `requirements` of its record. None for Windows."""
    if platform.family == "windows":
        return None
    from envc.model.record import MTIME
    from envc.shipping.prefix.conda_prefix import CODESIGN

    program = _PROGRAM
    for key, value in {
        "PLATFORM": repr(platform.name),
        "NEEDS": repr(dict(sorted(requirements.items()))),
        "MTIME": str(MTIME),
        "CODESIGN": CODESIGN,
        "UNKNOWN": repr(UNKNOWN),
        "HEAD": repr(history_head()),
    }.items():
        program = program.replace(f"@{key}@", value)
    rules = Path(placeholders.__file__).read_text(encoding="utf-8")
    return _SCRIPT.replace("@PROGRAM@", f"{rules}\n\n{CHECKS}\n\n{program}").encode()
