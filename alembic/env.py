"""Run the packaged environment."""

import runpy

runpy.run_module("chapkit.migrations.env")
