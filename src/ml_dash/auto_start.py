"""``from ml_dash.auto_start import dxp``: an experiment that is open right after the import and completed at exit."""

from __future__ import annotations

from ml_dash.experiment import Experiment

dxp = Experiment(name="dxp", project="scratch", local_path=".ml-dash")
dxp.run.start()

__all__ = ["dxp"]
