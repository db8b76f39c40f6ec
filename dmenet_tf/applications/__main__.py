"""python -m dmenet_tf.applications: the same as `dmenet apply`."""

import sys

from dmenet_tf.applications.command import main

if __name__ == "__main__":
    sys.exit(main())
