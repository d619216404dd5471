"""Which form of the contrast, and at which temperature?

Answer: With the abstract's objective the decoupled form is a little better in everything; the others are alike, and so
are temperatures.
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
