#!/usr/bin/env python
"""Run Plainbill's management commands."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    try:
        from django.core.management import execute_from_command_line  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing}. Set the project up first: sh config/install.sh")
    execute_from_command_line(sys.argv)
