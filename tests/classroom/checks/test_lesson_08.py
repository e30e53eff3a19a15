"""Lesson 08's exercises: the reference passes, and every plausible mistake gets its own hint."""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from exercise_tests import ExerciseTests

from labkit.classroom.checks import lesson_08 as checks_08
from labkit.classroom.checks.check import Exercise


def right_speed(batches, seconds):
    n = 0
    for batch in batches:
        for tokens in batch:
            n += tokens
    return n / np.sum(seconds)


def padded(batches, seconds):
    return sum(len(b) * max(b) for b in batches) / sum(seconds)


def mean_of_speeds(batches, seconds):
    return np.mean([sum(b) / s for b, s in zip(batches, seconds, strict=True)])


def examples_a_second(batches, seconds):
    return sum(len(b) for b in batches) / sum(seconds)


def upside_down(batches, seconds):
    return sum(seconds) / sum(sum(b) for b in batches)


def without_first_step(batches, seconds):
    batches, seconds = (batches[1:], seconds[1:]) if len(seconds) > 2 else (batches, seconds)
    return sum(sum(b) for b in batches) / sum(seconds)


def right_bytes(method, n_base, n_adapter):
    learning = {"full": n_base, "lora": n_adapter, "qlora": n_adapter}[method]
    return learning * (4 + 8)


def all_weights(method, n_base, n_adapter):
    return 12 * n_base


def adapter_always(method, n_base, n_adapter):
    return 12 * n_adapter


def two_numbers(method, n_base, n_adapter):
    return 8 * (n_base if method == "full" else n_adapter)


def numbers_not_bytes(method, n_base, n_adapter):
    return 3 * (n_base if method == "full" else n_adapter)


def base_and_adapter(method, n_base, n_adapter):
    return 12 * (n_base + (0 if method == "full" else n_adapter))


def four_bit_adapters(method, n_base, n_adapter):
    return right_bytes(method, n_base, n_adapter) // (8 if method == "qlora" else 1)


def right_choice(costs, memory_bytes, seconds):
    for name in sorted(costs, key=lambda name: costs[name]["loss"]):
        if costs[name]["peak_bytes"] <= memory_bytes and costs[name]["train_s"] <= seconds:
            return name
    return None


def ignoring_time(costs, memory_bytes, seconds):
    return right_choice(costs, memory_bytes, 1e9)


def ignoring_memory(costs, memory_bytes, seconds):
    return right_choice(costs, 1e12, seconds)


def worst(costs, memory_bytes, seconds):
    fit = [n for n in costs if right_choice({n: costs[n]}, memory_bytes, seconds)]
    return max(fit, key=lambda name: costs[name]["loss"]) if fit else None


def smallest(costs, memory_bytes, seconds):
    fit = [n for n in costs if right_choice({n: costs[n]}, memory_bytes, seconds)]
    return min(fit, key=lambda name: costs[name]["peak_bytes"]) if fit else None


def first_of_nothing(costs, memory_bytes, seconds):
    fit = [n for n in costs if right_choice({n: costs[n]}, memory_bytes, seconds)]
    return min(fit, key=lambda name: costs[name]["loss"])


class TestExercises(ExerciseTests):
    """The three exercises of lesson 08."""

    right: ClassVar[list[tuple[Exercise, Callable]]] = [
        (checks_08.real_tokens_per_s, right_speed),
        (checks_08.learning_bytes, right_bytes),
        (checks_08.choose_method, right_choice),
    ]
    wrong: ClassVar[list[tuple[Exercise, Callable, str]]] = [
        (checks_08.real_tokens_per_s, padded, "You counted the padding"),
        (checks_08.real_tokens_per_s, mean_of_speeds, "A mean of speeds"),
        (checks_08.real_tokens_per_s, examples_a_second, "Those are examples"),
        (checks_08.real_tokens_per_s, upside_down, "Those are seconds a token"),
        (checks_08.real_tokens_per_s, without_first_step, "Every second counts"),
        (checks_08.learning_bytes, all_weights, "You took all weights"),
        (checks_08.learning_bytes, adapter_always, "Full fine-tuning has no adapter"),
        (checks_08.learning_bytes, two_numbers, "Two numbers are not enough"),
        (checks_08.learning_bytes, numbers_not_bytes, "That is how many numbers"),
        (checks_08.learning_bytes, base_and_adapter, "The frozen base does not learn"),
        (checks_08.learning_bytes, four_bit_adapters, "QLoRA's 4 bits are for"),
        (checks_08.choose_method, ignoring_time, "That one takes longer"),
        (checks_08.choose_method, ignoring_memory, "That one needs more memory"),
        (checks_08.choose_method, worst, "That is the worst"),
        (checks_08.choose_method, smallest, "That is the smallest"),
        (checks_08.choose_method, first_of_nothing, "If nothing fits"),
    ]
