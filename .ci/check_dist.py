"""Check what a built wheel and source distribution hold: ``check_dist.py DIST``."""

import sys
import tarfile
import zipfile
from pathlib import Path

MOST_BYTES = 6_500_000
ALLOWED = (
    ".py",
    ".toml",
    "/py.typed",
    "sequentia/page.html",
    "/config.json",
    "/model.onnx",
    "/model.safetensors",
    "/novelty.crc32",
    "/README.md",
    ".png",
)
NEEDED = {
    "sequentia/__init__.py",
    "sequentia/page.html",
    "sequentia/py.typed",
    "sequentia/models/names/config.json",
    "sequentia/models/names/model.onnx",
    "sequentia/models/names/model.safetensors",
    "sequentia/models/names/novelty.crc32",
    "sequentia/models/prior/model.onnx",
    "sequentia/training/__init__.py",
    "sequentia/training/recipes/auto.toml",
    "sequentia/training/recipes/names.toml",
    "sequentia/export/__init__.py",
}


def main() -> None:
    dist = Path(sys.argv[1])
    (wheel,), (source,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        packed = {name for name in file.namelist() if ".dist-info/" not in name}
    foreign = {name for name in packed if not (name.startswith("sequentia/") and name.endswith(ALLOWED))}
    missing = NEEDED - packed
    size = wheel.stat().st_size
    with tarfile.open(source) as tar:
        inside = {name.partition("/")[2] for name in tar.getnames()}
    top_level = {name: name.removeprefix("sequentia/") for name in packed}
    lost = {name for name in packed if not {name, top_level[name]} & inside}
    for problem, found in (
        ("in the wheel by mistake", foreign),
        ("not in the wheel", missing),
        ("not in the sdist", lost),
    ):
        if found:
            sys.exit(f"{problem}: {sorted(found)}")
    if size > MOST_BYTES:
        sys.exit(f"the wheel has {size:,} bytes, more than {MOST_BYTES:,}")
    print(f"{wheel.name}: {len(packed)} files, {size:,} bytes")


if __name__ == "__main__":
    main()
