# make demo          the demonstration: a whole migration on loopback, no root needed
# make demo-failure  two migrations that fail on purpose (exit status not 0)
# make demo-clean    end every process of the demo and remove its files
# make test          what has its turn at this commit, TURNS=all runs every test;
#                    TIER=unit|sanity|integration|molecule|chaos|browser for a part
# make bench         benchmarks; AREA=migration|postgresql|… for a part
# make clean         demo-clean, and remove .venv, .tools and build
#
# DEMO_PORT_BASE=19000 moves the demo's seven ports, DEMO_ARGS="--check" goes to ansible-playbook.
PYTHON ?= python3
VENV := .venv/bin/python
# Ansible gives its modules to Python on standard input, which Python reads byte by byte when this is set: a short module takes a
# third more.
unexport PYTHONUNBUFFERED
.PHONY: help setup demo demo-failure demo-clean test bench clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

setup:
	@$(PYTHON) dev/setup.py demo

demo: setup
	@$(VENV) demo/run.py success $(DEMO_ARGS)

demo-failure: setup
	@$(VENV) demo/run.py failure $(DEMO_ARGS)

demo-clean:
	@if [ -x $(VENV) ]; then $(VENV) demo/run.py clean; fi

test:
	@$(PYTHON) dev/test.py $(TIER)

bench:
	@$(PYTHON) dev/bench.py $(if $(AREA),--area $(AREA))

clean: demo-clean
	@rm -rf .venv .tools build
