"""What the settings of an inversion may be, for `run.config_rules.check`."""

from stylegan2_flax.run.config_rules import at_least, between, flag, one_of, positive

RULES = {
    "space": one_of("w", "w+"),
    "images_per_piece": at_least(1),
    "batch_size": at_least(0),
    "max_deviation": positive(),
    "noise": flag(),
    "warn_below_psnr": positive(or_zero=True),
    "candidates": at_least(0),
    "starts": at_least(1),
    **{
        f"{phase}.{name}": rule
        for phase in ("scout", "optimise", "refine")
        for name, rule in {
            "steps": at_least(1),
            "learning_rate": positive(),
            "exploration": positive(or_zero=True),
        }.items()
    },
    "schedule.warmup": between(0, 1),
    "schedule.cooldown": between(0, 1),
    "schedule.explore_until": between(0, 1),
    "weights.*": positive(or_zero=True),
    "tune.steps": at_least(0),
    "tune.learning_rate": positive(),
    "tune.locality": positive(or_zero=True),
}
