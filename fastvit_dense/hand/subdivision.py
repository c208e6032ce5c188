"""Catmull-Clark subdivision as a linear map, and the cut into triangles."""

import numpy as np


def subdivide(faces: list[list[int]], count: int) -> tuple[np.ndarray, np.ndarray, dict]:
    """One step of Catmull-Clark on a surface with boundary.

    Catmull, Clark: "Recursively generated B-spline surfaces on arbitrary topological meshes", 1978.

    Args:
        faces: Polygons over `count` points.
        count: Number of points.

    Returns:
        The linear map (new points, count), its rows summing to 1: first the moved points, then the
        edge points, then the face points; the quads (N, 4); and `{edge: number of its point}`.
    """
    edge_faces: dict[tuple[int, int], list[int]] = {}
    for number, face in enumerate(faces):
        for a, b in zip(face, face[1:] + face[:1], strict=True):
            edge_faces.setdefault((min(a, b), max(a, b)), []).append(number)
    identity = np.eye(count)
    face_rows = np.array([identity[face].mean(0) for face in faces])
    edge_rows, moved = [], identity.copy()
    for (a, b), sides in edge_faces.items():
        middle = identity[[a, b]].mean(0)
        edge_rows.append(middle if len(sides) == 1 else (middle * 2 + face_rows[sides].sum(0)) / 4)
    for point in range(count):
        edges = [edge for edge in edge_faces if point in edge]
        border = [edge for edge in edges if len(edge_faces[edge]) == 1]
        if border:
            ends = [a + b - point for a, b in border]
            moved[point] = identity[point] * 0.75 + identity[ends].sum(0) / 8
        else:
            valence = len(edges)
            around = sorted({f for edge in edges for f in edge_faces[edge]})
            middles = np.mean([identity[list(edge)].mean(0) for edge in edges], axis=0)
            moved[point] = (
                face_rows[around].mean(0) + 2 * middles + (valence - 3) * identity[point]
            ) / valence

    edge_point = {edge: count + k for k, edge in enumerate(edge_faces)}
    quads = []
    for number, face in enumerate(faces):
        centre = count + len(edge_faces) + number
        for k, point in enumerate(face):
            ahead, behind = face[(k + 1) % len(face)], face[k - 1]
            quads.append(
                [
                    point,
                    edge_point[min(point, ahead), max(point, ahead)],
                    centre,
                    edge_point[min(point, behind), max(point, behind)],
                ]
            )
    return np.concatenate([moved, np.array(edge_rows), face_rows]), np.array(quads), edge_point


def triangulate(
    operator: np.ndarray, quads: np.ndarray, points: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split quads into triangles, with exactly `count` points.

    Quads are cut along their shorter diagonal; the largest get a point in their middle until
    `count` points stand.

    Args:
        operator: (N, P) linear map from cage points to the quads' corners.
        quads: (F, 4).
        points: (P, 3) cage points.
        count: Wanted number of points, at least N.

    Returns:
        The linear map (count, P) and the triangles (T, 3).
    """
    vertices = operator @ points
    corners = vertices[quads]
    area = np.linalg.norm(
        np.cross(corners[:, 2] - corners[:, 0], corners[:, 3] - corners[:, 1]), axis=1
    )
    extra = count - len(vertices)
    split = np.sort(np.argsort(-area, kind='stable')[:extra])
    middle = operator[quads[split]].mean(1)
    triangles = []
    for number, (a, b, c, d) in enumerate(quads):
        if number in split:
            m = len(vertices) + int(np.searchsorted(split, number))
            triangles += [(a, b, m), (b, c, m), (c, d, m), (d, a, m)]
        elif np.linalg.norm(vertices[a] - vertices[c]) <= np.linalg.norm(vertices[b] - vertices[d]):
            triangles += [(a, b, c), (a, c, d)]
        else:
            triangles += [(a, b, d), (b, c, d)]
    return np.concatenate([operator, middle]), np.array(triangles)
