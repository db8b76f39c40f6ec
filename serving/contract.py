"""The wire contract, written once: exporter, server, client, page and tests take it from here.

The service is TensorFlow Serving's `tensorflow.serving.PredictionService` (gRPC), the model is
`MODEL_NAME`, and it has two signatures:

`serving_default`, pixels in and numbers out
    images           float32 [N, H, W, 3]  RGB in [0, 1], H and W free
    -> defocus       float32 [N, H, W, 1]  the network's own label in [0, 1], 1 = most blurred;
                                           `encoding` in `model` says in which unit
    -> sigma_px      float32 [N, H, W, 1]  Gaussian sigma of the blur in pixels, 0 .. SIGMA_MAX_PX
    -> model         string  [N]           JSON, the same for each image (`MODEL_FIELDS`)

`encoded`, files in and files out
    encoded_images   string  [N]           JPEG or PNG (8 or 16 bit), each of a size of its own;
                                           an alpha channel is dropped, an EXIF rotation ignored
    -> sigma_png     string  [N]           PNG, grey, 16 bit, of the image's size:
                                           round(65535 * sigma_px / SIGMA_MAX_PX)
    -> size_px       int32   [N, 2]        height, width
    -> share_sharp   float32 [N]           share of pixels with sigma_px < SHARP_BELOW_PX
    -> median_sigma_px  float32 [N]        both from the PNG's values, so right to one step of them
    -> focus_score   float32 [N]           1 - (sigma that a tenth stays below) / SIGMA_MAX_PX
    -> model         string  [N]           as above

The limits hold for all images of a request together: the model checks each image (whatever server
runs it), the embedded server their sum. MAX_PIXELS is such that the PNG of any map stays below
`DEFAULT_MESSAGE_BYTES`, the max that a gRPC client receives by default. `serving.client` sends
larger photos in tiles.

| cause | status |
| --- | --- |
| no such model or version | NOT_FOUND |
| no such label | NOT_FOUND; TensorFlow Serving: INVALID_ARGUMENT |
| no such signature | FAILED_PRECONDITION |
| name, dtype or rank of a tensor, an unknown output, pixels beyond [0, 1], no image, no JPEG or PNG, a truncated one, more than MAX_PIXELS or MAX_SIDE_PX | INVALID_ARGUMENT |
| message above the server's limit (TensorFlow Serving's is 2 GB) | RESOURCE_EXHAUSTED |
| queue full, model still loading, server stopping: the one status to retry | UNAVAILABLE |
| deadline exceeded, in the queue or in the model | DEADLINE_EXCEEDED |
| the client cancelled the call | CANCELLED |

Over HTTP (TensorFlow Serving's REST form, and `POST /photo` of the embedded server) a status is
`HTTP_STATUS`, as TensorFlow Serving maps them, and the body {"error": "why"}. A body above the
limit of messages is 413 and one without a Content-Length 411.

Imports nothing but the standard library.
"""  # noqa: E501

MODEL_NAME = "dmenet"

# --- signatures and tensors -------------------------------------------------------------------

SIGNATURE_IMAGES = "serving_default"  # used where a request names no signature
SIGNATURE_ENCODED = "encoded"

IMAGES, ENCODED_IMAGES = "images", "encoded_images"
DEFOCUS, SIGMA_PX, MODEL = "defocus", "sigma_px", "model"
SIGMA_PNG, SIZE_PX = "sigma_png", "size_px"
SHARE_SHARP, MEDIAN_SIGMA_PX, FOCUS_SCORE = "share_sharp", "median_sigma_px", "focus_score"

# Signature -> tensor -> (dtype by NumPy's name or "string", shape; None where free).
INPUTS = {
    SIGNATURE_IMAGES: {IMAGES: ("float32", (None, None, None, 3))},
    SIGNATURE_ENCODED: {ENCODED_IMAGES: ("string", (None,))},
}
OUTPUTS = {
    SIGNATURE_IMAGES: {
        DEFOCUS: ("float32", (None, None, None, 1)),
        SIGMA_PX: ("float32", (None, None, None, 1)),
        MODEL: ("string", (None,)),
    },
    SIGNATURE_ENCODED: {
        SIGMA_PNG: ("string", (None,)),
        SIZE_PX: ("int32", (None, 2)),
        SHARE_SHARP: ("float32", (None,)),
        MEDIAN_SIGMA_PX: ("float32", (None,)),
        FOCUS_SCORE: ("float32", (None,)),
        MODEL: ("string", (None,)),
    },
}
# Keys of the JSON in `model`: fields of `dmenet_tf.prediction.metadata.Metadata`.
MODEL_FIELDS = ("model", "encoding", "sigma_max_px", "units", "version", "licence")
# Only where the model has one: the longer side in pixels to which photos are best reduced.
RECOMMENDED_SIDE = "recommended_side"
OPTIONAL_MODEL_FIELDS = (RECOMMENDED_SIDE,)

# --- units ------------------------------------------------------------------------------------

SIGMA_MAX_PX = 7.0  # data_gen.optics.SIGMA_MAX_PX; a test holds the two together
PNG_MAX = 65535  # the PNG's value of SIGMA_MAX_PX
SHARP_BELOW_PX = 1.0

# --- statuses over HTTP, where they are not 500 ------------------------------------------------

HTTP_STATUS = {
    "OK": 200,
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "ABORTED": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}

# --- limits -----------------------------------------------------------------------------------

DEFAULT_MESSAGE_BYTES = 4 * 1024 * 1024  # gRPC's own, of what a client receives
# An incompressible map is a PNG of 2 bytes a pixel and a byte a row: below DEFAULT_MESSAGE_BYTES.
MAX_PIXELS = 2_000_000
MAX_SIDE_PX = 16_384
MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # both ways; MAX_PIXELS as float32 RGB are 24 MB
MAX_PHOTO_PIXELS = 64_000_000  # of `POST /photo`, which the embedded server cuts into parts

# --- files and addresses ------------------------------------------------------------------------

METADATA_FILE = "assets.extra/dmenet.json"  # in a version's folder: units, labels, model
LICENCE_FILE = "assets.extra/LICENCE.txt"  # only where the weights have terms of their own
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
DEFAULT_ADDRESS = "127.0.0.1:8500"  # TensorFlow Serving's gRPC port
DEFAULT_HTTP_PORT = 8501  # and its HTTP port,
METRICS_PATH = "/monitoring/prometheus/metrics"  # with its path
HEALTH_PATH, PHOTO_PATH = "/health", "/photo"  # of the embedded server alone
ADDRESS_VARIABLE = "DMENET_SERVING_ADDRESS"  # contract tests ask the server there
