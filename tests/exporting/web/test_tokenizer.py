"""The tokenizers in JavaScript give the same numbers as in Python."""

from __future__ import annotations

import json
import random
import unicodedata

import pytest
from node import run

from recurra.data import samples
from recurra.data.encoders.text import TextEncoder
