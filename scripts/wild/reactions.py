"""Make up reactions whose atoms are known one by one, for the atom-mapping transformer of the corpus.

Two molecules with random carbon skeletons join and lose one atom: an acid and an amine or alcohol (the acid's OH is
lost), a bromide and an amine or alcohol (the bromine is). Encoded as chytorch's README describes it
(https://github.com/chython/chytorch): atomic number + 2, neighbours with hydrogens + 2, distances + 2 up to 10.
"""

from __future__ import annotations

import random

import numpy as np

Arrays = dict[str, np.ndarray]

_ATOMS = 16
"""Of both reactants together, hydrogens not counted: so all reactions have as many tokens."""
_VALENCE = {"C": 4, "N": 3, "O": 2, "Br": 1}
_NUMBER = {"C": 6, "N": 7, "O": 8, "Br": 35}
_FARTHEST = 10
_TOKENS = 4 + 2 * _ATOMS - 1
"""One of the reaction, one of each molecule, and the atoms on both sides."""
_NONE = -1


class Molecule:
    """Atoms, and bonds with their orders."""

    def __init__(self) -> None:
        self.atoms: list[str] = []
        self.bonds: dict[tuple[int, int], int] = {}

    def add(self, atom: str, to: int | None = None, order: int = 1) -> int:
        self.atoms.append(atom)
        if to is not None:
            self.bonds[to, len(self.atoms) - 1] = order
        return len(self.atoms) - 1

    def free(self, atom: int) -> int:
        """Hydrogens of `atom`."""
        return _VALENCE[self.atoms[atom]] - sum(order for pair, order in self.bonds.items() if atom in pair)

    def neighbours(self, atom: int) -> list[int]:
        return [b if a == atom else a for a, b in self.bonds if atom in (a, b)]


def reactions(count: int, seed: int) -> Arrays:
    """Random reactions.

    Returns:
        atoms, neighbors, roles: int64 (count, tokens); distances: int64 (count, tokens, tokens).
        labels: int64 (count, 3, tokens): element; class of each atom of the reactants, alike for atoms that cannot be
        told apart; the class that each atom of the product comes from. -1 where there is none.
    """
    rng = random.Random(seed)
    result: Arrays = {name: np.zeros((count, _TOKENS), dtype=np.int64) for name in ("atoms", "neighbors", "roles")}
    result["distances"] = np.zeros((count, _TOKENS, _TOKENS), dtype=np.int64)
    result["labels"] = np.full((count, 3, _TOKENS), _NONE, dtype=np.int64)
    for index in range(count):
        first, second, product, origin = _reaction(rng)
        classes = np.concatenate((atom_classes(first), 1000 + atom_classes(second)))
        place = _place(result, index, 0, None, role=1)
        for molecule, role in ((first, 2), (second, 2), (product, 3)):
            begin = place + 1
            place = _place(result, index, place, molecule, role)
            elements = [_NUMBER[atom] for atom in molecule.atoms]
            result["labels"][index, 0, begin:place] = elements
            if role == 3:
                result["labels"][index, 2, begin:place] = classes[origin]
        reactants = result["roles"][index] == 2
        result["labels"][index, 1, reactants] = classes
    return result


def _reaction(rng: random.Random) -> tuple[Molecule, Molecule, Molecule, np.ndarray]:
    """Two reactants, the product with its atoms shuffled, and the reactants' atom that each of them was."""
    size = rng.randint(5, _ATOMS - 5)
    acid = rng.random() < 0.6
    first = _skeleton(size - (3 if acid else 1), rng)
    place = rng.choice([atom for atom in range(len(first.atoms)) if first.free(atom)])
    if acid:
        centre = first.add("C", place)
        first.add("O", centre, order=2)
        leaving = first.add("O", centre)
    else:
        centre = place
        leaving = first.add("Br", place)
    second = _skeleton(_ATOMS - size - 1, rng)
    site = rng.choice([atom for atom in range(len(second.atoms)) if second.free(atom)])
    joining = second.add(rng.choice(("N", "O")), site)
    joined = first.atoms + second.atoms
    bonds = {pair: order for pair, order in first.bonds.items() if leaving not in pair}
    bonds |= {(a + size, b + size): order for (a, b), order in second.bonds.items()}
    bonds[centre, joining + size] = 1
    origin = [atom for atom in range(len(joined)) if atom != leaving]
    rng.shuffle(origin)
    where = {atom: index for index, atom in enumerate(origin)}
    product = Molecule()
    product.atoms = [joined[atom] for atom in origin]
    product.bonds = {(where[a], where[b]): order for (a, b), order in bonds.items()}
    return first, second, product, np.array(origin)


def _skeleton(size: int, rng: random.Random) -> Molecule:
    """`size` atoms, mostly carbon: a benzene ring where there is room, chains and branches."""
    molecule = Molecule()
    if size >= 6 and rng.random() < 0.6:
        for index in range(6):
            molecule.add("C", index - 1 if index else None, order=1 + index % 2)
        molecule.bonds[0, 5] = molecule.bonds.pop((4, 5))
        molecule.bonds[4, 5] = 1
    else:
        molecule.add("C")
    while len(molecule.atoms) < size:
        # The last places stay free for what reacts.
        free = [atom for atom in range(len(molecule.atoms)) if molecule.free(atom)]
        last = len(molecule.atoms) + 1 == size
        kind = "C" if last else rng.choices(("C", "O", "N"), (8, 1, 1))[0]
        molecule.add(kind, rng.choice(free))
    return molecule


def _place(result: Arrays, index: int, place: int, molecule: Molecule | None, role: int) -> int:
    """Write one molecule from token `place` on; without one, the token of the reaction. Returns the place behind."""
    if molecule is None:
        result["roles"][index, place] = role
        result["distances"][index, place, place] = 1
        return place + 1
    size = len(molecule.atoms)
    atoms = slice(place + 1, place + 1 + size)
    result["atoms"][index, place] = 1
    result["atoms"][index, atoms] = [_NUMBER[atom] + 2 for atom in molecule.atoms]
    result["neighbors"][index, atoms] = [
        len(molecule.neighbours(atom)) + molecule.free(atom) + 2 for atom in range(size)
    ]
    result["roles"][index, atoms] = role
    result["distances"][index, place : place + 1 + size, place : place + 1 + size] = 1
    result["distances"][index, atoms, atoms] = np.minimum(_distances(molecule), _FARTHEST) + 2
    return place + 1 + size


def _distances(molecule: Molecule) -> np.ndarray:
    """Bonds between each two atoms (Floyd-Warshall)."""
    size = len(molecule.atoms)
    far = np.full((size, size), size, dtype=np.int64)
    np.fill_diagonal(far, 0)
    for a, b in molecule.bonds:
        far[a, b] = far[b, a] = 1
    for middle in range(size):
        far = np.minimum(far, far[:, middle : middle + 1] + far[middle])
    return far


def atom_classes(molecule: Molecule) -> np.ndarray:
    """Give atoms with the same surroundings the same number: int64 (atoms,).

    Weisfeiler and Leman's refinement, as often as there are atoms.
    """
    colours = [_NUMBER[atom] for atom in molecule.atoms]
    for _ in molecule.atoms:
        seen = [
            (colours[atom], tuple(sorted(colours[other] for other in molecule.neighbours(atom))), molecule.free(atom))
            for atom in range(len(colours))
        ]
        names = {key: number for number, key in enumerate(sorted(set(seen)))}
        colours = [names[key] for key in seen]
    return np.array(colours, dtype=np.int64)
