"""Metadata, dependencies and extras. Tool settings (ruff, pytest) are in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="dmenet-tf",
    version="0.1.0",
    description="Dense defocus maps from one photo: DMENet (Lee et al., CVPR 2019) on TensorFlow",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.10",
    packages=find_packages(include=["data_gen*", "dmenet_tf*", "serving*"]),
    install_requires=[
        "tensorflow>=2.15",
        "keras>=2.15",
        "numpy",
        "opencv-python-headless",  # cv2 without the GUI libraries that a server lacks
        "tensorboard",
        "tqdm",
        "tyro",
        "cattrs",
        "scipy",
        "pillow",  # photographs: OpenCV passes a truncated JPEG as whole
        "scikit-image",
        "matplotlib",
        "psutil",  # free memory, by which predict chooses its tiles
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]"],
        # End of life, and it does not import beside Keras 3: only for the older stack.
        "addons": ["tensorflow==2.15.*", "tensorflow-addons==0.23.*"],
        "bench": ["openvino"],  # tests/benchmarks/inference.py compares with it; nothing else does
        "test": ["pytest", "ruff"],
    },
)
