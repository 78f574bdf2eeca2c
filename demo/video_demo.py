"""Track objects in a video: python demo/video_demo.py INPUT CONFIG --weights CKPT --out OUT.mp4."""

import sys

from mmdevis.apis.video_command import main

if __name__ == '__main__':
    sys.exit(main())
