"""Which form of the contrast, and at which temperature?

Answer: With the abstract's objective the forms are alike, but the triplet loss finds motions again more often and reads
mixed faces less, as a temperature of 0.5 does.
"""

from disentangle_jax.model.contrast import FORMS

CONFIG = "faces64:demo,abstract"
TEMPERATURES = (0.05, 0.2, 0.5)


def points():
    for form in FORMS:
        yield form, {"loss.appearance_contrast.form": form, "loss.structure_contrast.form": form}
    for temperature in TEMPERATURES:
        yield (
            f"temperature {temperature}",
            {
                "loss.appearance_contrast.temperature": temperature,
                "loss.structure_contrast.temperature": temperature,
            },
        )
