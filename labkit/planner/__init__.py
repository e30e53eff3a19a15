"""Planning memory: shapes of models, activations, rehearsals, and what fits on a card.

Knows: where the formulas of ``memory`` come from. Does not know: lessons, commands.
"""
