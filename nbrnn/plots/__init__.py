"""Pictures of what was learned. Every function returns a matplotlib Figure of its own; pyplot is not touched."""

from .confusion import plot_confusion
from .diagram import plot_model
from .flow import plot_gradient_flow
from .forecasts import plot_backtest, plot_history, plot_predictions, plot_series
from .norms import plot_gradient_norms
from .outlook import plot_errors_by_horizon, plot_forecast, plot_scrambled
from .products import plot_products
from .runs import plot_runs
from .seeds import plot_seeds
from .shifts import plot_shifts
from .steps import plot_step_errors
from .style import ACTUAL, PREDICTED, SPLIT, VALIDATION
from .surface import plot_loss_surface
from .sweeps import plot_sweep
from .truncation import plot_truncation
from .windows import plot_windows
from .wiring import plot_wiring

__all__ = [
    "ACTUAL",
    "PREDICTED",
    "SPLIT",
    "VALIDATION",
    "plot_confusion",
    "plot_backtest",
    "plot_errors_by_horizon",
    "plot_forecast",
    "plot_gradient_flow",
    "plot_gradient_norms",
    "plot_history",
    "plot_loss_surface",
    "plot_model",
    "plot_predictions",
    "plot_products",
    "plot_runs",
    "plot_scrambled",
    "plot_seeds",
    "plot_series",
    "plot_shifts",
    "plot_step_errors",
    "plot_sweep",
    "plot_truncation",
    "plot_windows",
    "plot_wiring",
]
