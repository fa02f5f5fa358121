"""How long the model is tried: a little each time, much longer on demand."""

from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "model",
    max_examples=200,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    phases=set(Phase) - {Phase.explain},  # which traces each line, at ten times the cost
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "model-long", settings.get_profile("model"), max_examples=5000, stateful_step_count=60
)
