# make demo   train, evaluate and report on the bundled faces: runs/demo/report.html
# make test   style, types and tests
# make pictures   the same as demo, and the README's picture from it
PYTHON ?= python3.11
BIN := .venv/bin
RUN := runs/demo
CONFIG := experiments/configs/faces64.py

.PHONY: demo test pictures clean

demo: .venv/ready
	$(BIN)/python -m disentangle_jax.train --config=$(CONFIG):demo --workdir=$(RUN)
	for baseline in no_contrast plain; do \
		$(BIN)/python -m disentangle_jax.train --config=$(CONFIG):demo,$$baseline --workdir=$(RUN)/$$baseline \
			--config.directions.source=$(RUN)/directions.safetensors || exit; \
	done
	$(BIN)/python -m disentangle_jax.evaluate --workdir=$(RUN) \
		--compare="without contrast=$(RUN)/no_contrast" --compare="plain autoencoder=$(RUN)/plain"

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/pytest -n auto --dist loadfile

# The README's picture.
pictures: demo
	mkdir -p experiments/pictures
	cp $(RUN)/eval/transfer_grid.png experiments/pictures/

# uv where there is one, else venv and pip. The stamp is newer than what it was made from, so a second call installs nothing.
.venv/ready: setup.py constraints.txt
	@if command -v uv >/dev/null; then \
		test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) .venv; \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $@

clean:
	rm -rf .venv runs build dist *.egg-info
