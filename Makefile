# make demo   train, evaluate and report on the bundled faces: runs/demo/report.html
# make test   style, types and tests
# make test-lowest, make test-newest   the tests with the oldest releases that setup.py allows, and with the newest
# make docs   the site: build/site/index.html
# make pictures   the README's pictures and that of the method, from the bundled model
# make owner NAME=...   the notebooks' badges and installations name this owner's GitHub repository; they say OWNER first
# The first Python of 3.11 or later that there is; PYTHON=python3.13 chooses another.
PYTHON ?= $(firstword $(shell for name in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name; done) python3.11)
BIN := .venv/bin
RUN := runs/demo
CONFIG := experiments/configs/faces64.py

.PHONY: demo test types tests test-lowest test-newest docs pictures owner clean

demo: .venv/ready
	$(BIN)/python -m disentangle_jax.train --config=$(CONFIG):demo --workdir=$(RUN)
	for baseline in abstract no_contrast plain; do \
		$(BIN)/python -m disentangle_jax.train --config=$(CONFIG):demo,$$baseline --workdir=$(RUN)/$$baseline \
			--config.directions.source=$(RUN)/directions.safetensors \
			--config.readout.source=$(RUN)/readout.safetensors || exit; \
	done
	$(BIN)/python -m disentangle_jax.evaluate --workdir=$(RUN) \
		--compare="the abstract's objective=$(RUN)/abstract" --compare="without contrast=$(RUN)/no_contrast" \
		--compare="plain autoencoder=$(RUN)/plain"

test: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(MAKE) --no-print-directory -j 2 types tests

# Beside each other, as the types use one core alone.
types: .venv/ready
	$(BIN)/basedpyright

tests: .venv/ready
	$(BIN)/pytest -n auto --dist loadfile

# Environments of their own; NEWEST_PYTHON=python3.13 chooses another Python for the newest.
NEWEST_PYTHON ?= $(PYTHON)
test-lowest: .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(PYTHON) .venv-lowest
	$(BIN)/uv pip install --quiet --python .venv-lowest/bin/python --resolution lowest-direct --editable '.[dev]'
	.venv-lowest/bin/pytest -n auto --dist loadfile

test-newest: .venv/ready
	$(BIN)/uv venv --quiet --clear --python $(NEWEST_PYTHON) .venv-newest
	$(BIN)/uv pip install --quiet --python .venv-newest/bin/python --upgrade --editable '.[dev]'
	.venv-newest/bin/pytest -n auto --dist loadfile

docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The README's pictures, and that of the method.
pictures: .venv/ready
	$(BIN)/python -m disentangle_jax.evaluate --model=faces64 --out=runs/pictures
	mkdir -p experiments/pictures
	cp runs/pictures/eval/transfer_grid.png runs/pictures/eval/methods.png experiments/pictures/
	$(BIN)/python experiments/method_figure.py

owner:
	@test -n "$(NAME)" || { echo "say whose: make owner NAME=..."; exit 1; }
	sed -i.old -E 's#(github|github\.com)/[^/"]+/disentangle_jax#\1/$(NAME)/disentangle_jax#g' experiments/colab/*.ipynb
	rm experiments/colab/*.ipynb.old

# uv where there is one, else venv and pip. The stamp is newer than what it was made from, so a second call installs nothing.
.venv/ready: setup.py constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or later is needed: install it, or say PYTHON=where-it-is"; exit 1; }
	@if command -v uv >/dev/null; then \
		test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) .venv; \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
		test -x $(BIN)/python || $(PYTHON) -m venv .venv; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $@

clean:
	rm -rf .venv .venv-lowest .venv-newest build dist *.egg-info
