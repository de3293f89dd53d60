"""What speaks against a list: how far it is from what heads read in the photo, and how likely photo and list are together.

Readings and lists are attributes (bins/sizes.py) scaled to a mean of 0 and a spread of 1 over the lists that were learned from,
[questions, attributes]. What a list does not tell, NaN, is given the value that is likeliest beside what it tells, so that it adds
nothing to how unlikely the list is.
"""

from dataclasses import dataclass

import numpy as np

from warehouse_classifier.evaluation.arrays import Floats

FIRM = 0.01  # added to the variances: attributes of small bins nearly repeat each other, and their covariance has no inverse


@dataclass(frozen=True)
class Spread:
    """How lists and readings scatter: covariances, [attributes, attributes]."""

    apart: Floats  # of list minus reading
    usual: Floats  # of lists

    @classmethod
    def of(cls, readings: Floats, lists: Floats) -> "Spread":
        """From photos with their right lists. `readings` are of heads that did not see the photo."""
        return cls(covariance(lists - readings), covariance(lists))

    @property
    def each(self) -> Floats:
        """Standard deviation of list minus reading, [attributes]."""
        return np.asarray(np.sqrt(np.diag(self.apart)))

    def unlikelihood(self, readings: Floats, lists: Floats) -> Floats:
        """-log p(list | reading) / p(list) of two Gaussians, of what is known of the list, up to a constant for each set of known
        attributes, [questions].

        The less a photo and a list have in common, the larger: their pointwise mutual information with the sign turned.
        """
        return _half(completed(lists - readings, self.apart), self.apart) - _half(
            completed(lists, self.usual), self.usual
        )


def covariance(values: Floats) -> Floats:
    """[attributes, attributes], made firm."""
    return np.asarray(np.cov(values, rowvar=False) + FIRM * np.eye(values.shape[1]))


def completed(values: Floats, covariance: Floats) -> Floats:
    """The values, of a mean of 0 and this covariance, with the mean of what is NaN given the rest in its place.

    Their squared Mahalanobis distance is then that of the rest alone (conditional Gaussians: Bishop 2006, section 2.3.1).
    """
    missing = np.isnan(values)
    if not missing.any():
        return values
    whole = values.copy()
    for pattern in np.unique(missing, axis=0):
        rows = (missing == pattern).all(axis=1)
        rest = ~pattern
        solved = np.linalg.solve(covariance[np.ix_(rest, rest)], values[np.ix_(rows, rest)].T)
        whole[np.ix_(rows, pattern)] = (covariance[np.ix_(pattern, rest)] @ solved).T
    return whole


def against(spread: Spread, readings: Floats, lists: Floats) -> Floats:
    """What a list is doubted by, [questions, evidence]: how unlikely the two are together, how far they are apart, and the list
    and what the photo shows of it, since both are believed less where they are far out."""
    both = spread.unlikelihood(readings, lists)[:, None]
    apart = completed(lists - readings, spread.apart)
    lists, off = readings + apart, apart / spread.each
    return np.concatenate([both, np.abs(off), off**2, lists, lists**2, lists * readings], axis=1)


def _half(values: Floats, covariance: Floats) -> Floats:
    """Half the squared Mahalanobis distance from 0."""
    return np.asarray(0.5 * np.einsum("ij,ij->i", values, np.linalg.solve(covariance, values.T).T))
