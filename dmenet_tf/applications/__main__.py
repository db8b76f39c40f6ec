"""python -m dmenet_tf.applications NAME PHOTO... -o OUT --weights PATH"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from dmenet_tf.applications.command import main

if __name__ == "__main__":
    sys.exit(main())
