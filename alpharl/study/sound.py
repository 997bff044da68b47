"""What a study file alone, and the small files that it names, say about whether its jobs can run.

`alpharl check` and the workflow's main process ask this. What needs the models: `check`.
"""

from __future__ import annotations

from alpharl.study.arguments import require_arguments
from alpharl.study.file_names import require_names
from alpharl.study.places import require_results_apart
from alpharl.study.plan import Plan
from alpharl.study.questions import require_questions


def require_sound(plan: Plan) -> None:
    """Refuse a study of which some job would fail for what the study says.

    Raises:
        StudyError: names are too long, or commands are, or results would lie in a model.
        EvaluationError: a question cannot be asked.
    """
    require_names(plan)
    require_results_apart(plan)
    require_arguments(plan)
    require_questions(plan.study)
