"""B as an ONNX file, for programs without TensorFlow: one file that starts within a second.

    image     float32 [N, H, W, 3]  RGB in [0, 1]; H and W multiples of 16, free from call to call
    defocus   float32 [N, H, W, 1]  the network's label in [0, 1], 1 = most blurred
    sigma_px  float32 [N, H, W, 1]  Gaussian sigma of the blur in pixels of the image

Batch normalisation and preprocessing are folded into the convolutions (`networks/folding.py`).
Only old and plain operators, for many runtimes. The file's metadata has the fields of
`prediction.metadata.Metadata`: model, encoding, licence, recommended side.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from data_gen.io.atomic import write_atomic
from data_gen.optics import ENCODINGS
from dmenet_tf.architecture import CHANNELS_AND_COUNT, FINAL, LEVELS, REFINEMENTS
from dmenet_tf.networks.folding import folded_convolutions, variables_of
from dmenet_tf.networks.layers import LEAKY_SLOPE
from dmenet_tf.prediction.local import predict_defocus
from dmenet_tf.weights.load import TrainedModel
from serving import contract
from serving.exporting import verification
from serving.exporting.checks import PublishError
from serving.exporting.description import model_fields

OPSET, IR_VERSION = 13, 8  # of 2020 and 2021
IMAGE = "image"
_SIZES = ((16, 16), (48, 80), (112, 32))  # for the comparison


def export_onnx(trained: TrainedModel, path, recommended_side: int | None = None) -> float:
    """Writes a model as an ONNX file; returns by how much its `defocus` differs from Keras's.

    Arguments as of `publishing.publish`. Raises `PublishError` where onnxruntime's maps are not the
    Keras model's, and OSError; the file appears only if all is well.
    """
    model = _Graph(folded_convolutions(variables_of(trained.model))).build(trained.encoding)
    helper.set_model_props(
        model, {name: str(value) for name, value in model_fields(trained, recommended_side).items()}
    )
    onnx.checker.check_model(model)
    data = model.SerializeToString()
    difference = _difference(data, trained)
    if not difference <= verification.LARGEST_DIFFERENCE:  # NaN fails too
        raise PublishError(
            f"the exported model must answer as the Keras model does, to "
            f"{verification.LARGEST_DIFFERENCE}; received a difference of {difference:.2g}. "
            "Nothing was written"
        )
    write_atomic(path, lambda temporary: Path(temporary).write_bytes(data))
    return difference


def _difference(data: bytes, trained: TrainedModel) -> float:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    rng, differences = np.random.default_rng(0), []
    for size in _SIZES:
        image = rng.random((1, *size, 3), np.float32)
        (defocus,) = session.run([contract.DEFOCUS], {IMAGE: image})
        differences.append(np.abs(defocus - predict_defocus(trained.model, image)).max())
    return float(np.max(differences))  # keeps NaN, which max can lose


class _Graph:
    """Nodes and weights as they are added. Tensors are named by the node that gives them."""

    def __init__(self, convolutions):
        self._convolutions = convolutions
        self._nodes, self._constants = [], []

    def build(self, encoding: str) -> onnx.ModelProto:
        defocus = self._network(self._node("Transpose", [IMAGE], perm=[0, 3, 1, 2]))
        self._node("Transpose", [defocus], contract.DEFOCUS, perm=[0, 2, 3, 1])
        self._sigma_px(ENCODINGS[encoding])

        def tensor(name, channels):
            shape = ["N", "H", "W", channels]
            return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

        graph = helper.make_graph(
            self._nodes,
            contract.MODEL_NAME,
            [tensor(IMAGE, 3)],
            [tensor(contract.DEFOCUS, 1), tensor(contract.SIGMA_PX, 1)],
            self._constants,
        )
        return helper.make_model(
            graph,
            producer_name=contract.MODEL_NAME,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )

    # --- the network, layer by layer as in `blur_estimation.py` ------------------------------

    def _network(self, x: str) -> str:
        skips = {}
        for block, (_, count) in enumerate(CHANNELS_AND_COUNT, start=1):
            if block > 1:
                x = self._node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
            for i in range(1, count + 1):
                x = self._node("Relu", [self._convolution(x, f"conv{block}_{i}")])
            skips[f"conv{block}_{count}"] = x
        for level, skip, _, count in LEVELS:
            x = self._node("Concat", [self._enlarged(x), skips[skip]], axis=1)
            for i in range(1, count + 1):
                x = self._block(x, f"level{level}_conv{i}")
        for index in range(REFINEMENTS):
            shortcut = self._block(x, f"refine{index}_shortcut_conv")
            x = self._block(self._block(x, f"refine{index}_conv1"), f"refine{index}_conv2")
            x = self._node("Add", [x, shortcut])
        for i, _ in FINAL:
            x = self._block(x, f"final_conv{i}")
        return self._node("Sigmoid", [self._convolution(x, "final_conv3")])

    def _block(self, x: str, name: str) -> str:
        return self._node("LeakyRelu", [self._convolution(x, name)], alpha=LEAKY_SLOPE)

    def _convolution(self, x: str, name: str) -> str:
        kernel, bias = self._convolutions[name]
        if kernel.shape[0] == 3:  # the edge is repeated, as by `SymmetricPadding2D`
            pads = self._constant("pads", np.int64([0, 0, 1, 1, 0, 0, 1, 1]))
            x = self._node("Pad", [x, pads], mode="edge")
        weights = self._constant(f"{name}_kernel", np.float32(kernel.transpose(3, 2, 0, 1)))
        return self._node("Conv", [x, weights, self._constant(f"{name}_bias", np.float32(bias))])

    def _enlarged(self, x: str) -> str:
        scales = self._constant("scales", np.float32([1, 1, 2, 2]))
        return self._node(
            "Resize", [x, "", scales], mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def _sigma_px(self, encoding) -> None:
        """`Encoding.label_to_sigma`: (label * label_max - offset) / gain, within its bounds."""
        factor = self._constant("factor", np.float32(encoding.label_max / encoding.gain))
        offset = self._constant("offset", np.float32(-encoding.offset / encoding.gain))
        bounds = [
            self._constant(name, np.float32(value))
            for name, value in (("least", 0), ("most", contract.SIGMA_MAX_PX))
        ]
        x = self._node("Add", [self._node("Mul", [contract.DEFOCUS, factor]), offset])
        self._node("Clip", [x, *bounds], contract.SIGMA_PX)

    # --- nodes -------------------------------------------------------------------------------

    def _node(self, operator: str, inputs: list[str], output: str = "", **attributes) -> str:
        output = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], output, **attributes))
        return output

    def _constant(self, name: str, value: np.ndarray) -> str:
        if all(constant.name != name for constant in self._constants):
            self._constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name
