"""The five protocols: which map is compared with which truth, and by which figures.

| protocol   | truth                        | the map that is compared                     |
| ---------- | ---------------------------- | -------------------------------------------- |
| `cuhk`     | binary, 1 = blurred          | the network's output, as it is               |
| `dbd`      | binary, 1 = blurred          | its output, each photo stretched to 0 .. 1   |
| `rtf`      | sigma of a disc's radius     | sigma_px, clipped to 3.275 and divided by it |
| `syndof`   | `defocus` of a rendering     | `defocus` = sigma_px / 7                     |
| `segments` | `defocus` of a rendering     | `defocus` = sigma_px / 7                     |

Each is a `specification.Protocol`, a record of functions. Every figure is a mean over images, each
of which counts the same, unless its title says otherwise. A new protocol is one more record here.
"""

from dmenet_tf.evaluation.detection import cuhk, dbd
from dmenet_tf.evaluation.regression import RTF, SEGMENTS, SYNDOF

CUHK, DBD = cuhk(), dbd()
PROTOCOLS = {protocol.name: protocol for protocol in (CUHK, DBD, RTF, SYNDOF, SEGMENTS)}
