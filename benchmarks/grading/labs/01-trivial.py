# %% [markdown] minutes=5 datasets=[] systems=[]
# # Trivial
#
# Almost no work: what is measured is the grader itself.

# %% [markdown]
# ## You will be able to
#
# - double a number (exercise 1)

# %% role="setup"
from labkit import open_lab

lab = open_lab("04-1-benchmark/01-trivial")

# %% [markdown] topics=["4.1-1"]
# ## Numbers

# %% [markdown] role="task" exercise="double" points=2 topics=["4.1-1"]
# ### Double a number
#
# Write `double(n)`.


# %% role="answer" exercise="double"
def double(n):
    """Twice the number."""
    ### BEGIN SOLUTION
    return 2 * n
    ### END SOLUTION


# %% role="check" exercise="double"
with lab.check("double") as answer:
    answer.equal(answer.call("double", 4), 8, asked="twice 4")

# %% role="hidden" exercise="double"
with lab.check("double", hidden=True) as answer:
    number = answer.random.randrange(1000)
    answer.equal(
        answer.call("double", number), 2 * number, asked="twice another number"
    )

# %% [markdown] role="hint" exercise="double"
# What is twice 1?

# %% [markdown] role="hint" exercise="double"
# Look up `*`.

# %% [markdown] role="hint" exercise="double"
# `return ... * n`


# %% role="right" exercise="double"
def double(n):
    return n + n


# %% role="wrong" exercise="double" misconception="squares" caught="check" says="16"
def double(n):
    return n * n


# %% role="wrong" exercise="double" misconception="adds two" caught="check" says="6"
def double(n):
    return n + 2


# %% role="wrong" exercise="double" misconception="one number only" caught="hidden" says="8"
def double(n):
    return 8
