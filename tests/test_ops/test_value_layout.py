"""The C kernels read a value that lies in memory by heads as it is."""

import torch


def test_by_head(make_problem):
    problem = make_problem(3, dtype=torch.float32)
    value, *rest = problem.tensors
    by_head = value.transpose(2, 3).contiguous().transpose(2, 3)
    assert not by_head.is_contiguous()
    expected = problem.call('reference', value, *rest)
    found = problem.call('cpu', by_head, *rest)
    torch.testing.assert_close(found, expected, rtol=2e-4, atol=2e-5)
    assert torch.equal(found, problem.call('cpu', value, *rest))


def test_gradients(make_problem):
    problem = make_problem(3, dtype=torch.float32)
    value, *rest = problem.tensors
    grads = []
    for layout in (value, value.transpose(2, 3).contiguous().transpose(2, 3)):
        leaf = layout.detach().requires_grad_()
        problem.call('cpu', leaf, *rest).square().sum().backward()
        grads.append(leaf.grad)
    torch.testing.assert_close(*grads)
