//! Eigenvalues and eigenvectors of a symmetric matrix: Householder's reduction to a tridiagonal matrix, then implicit QL
//! steps (Wilkinson and Reinsch, Handbook for Automatic Computation II, 1971).

/// Eigenvalues, the largest first, each with its unit eigenvector: `vectors` holds them row after row.
pub(crate) struct Eigen {
    pub values: Vec<f64>,
    pub vectors: Vec<f64>,
}

/// QL steps for one eigenvalue; two or three are usual.
const STEPS: usize = 60;

/// `None` if the matrix [n, n] holds something else than finite numbers. Its upper triangle is not read.
pub(crate) fn eigen(mut matrix: Vec<f64>, n: usize) -> Option<Eigen> {
    let (mut diagonal, mut beside) = (vec![0.0; n], vec![0.0; n]);
    if matrix.iter().any(|value| !value.is_finite()) {
        return None;
    }
    tridiagonal(&mut matrix, n, &mut diagonal, &mut beside);
    implicit_ql(&mut matrix, n, &mut diagonal, &mut beside)?;
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    let row = |&i: &usize| matrix[i * n..(i + 1) * n].iter().copied();
    Some(Eigen {
        values: order.iter().map(|&i| diagonal[i]).collect(),
        vectors: order.iter().flat_map(row).collect(),
    })
}

/// Leaves in `a` the orthogonal matrix of the reduction, transposed: row i is what becomes eigenvector i.
fn tridiagonal(a: &mut [f64], n: usize, diagonal: &mut [f64], beside: &mut [f64]) {
    let mut reflections: Vec<Vec<f64>> = Vec::with_capacity(n);
    let mut product = vec![0.0; n];
    // From the last row upwards, each row but its last two entries is reflected away.
    for i in (1..n).rev() {
        let row = &a[i * n..i * n + i];
        let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        if norm == 0.0 || i == 1 {
            beside[i] = row[i - 1];
            reflections.push(Vec::new());
            continue;
        }
        let target = if row[i - 1] > 0.0 { -norm } else { norm };
        let mut v = row.to_vec();
        v[i - 1] -= target;
        let length = v.iter().map(|v| v * v).sum::<f64>();
        beside[i] = target;
        if length > 0.0 {
            reflect_both(a, n, &v, 2.0 / length, &mut product);
            let scale = (2.0 / length).sqrt();
            v.iter_mut().for_each(|v| *v *= scale);
        }
        reflections.push(v);
    }
    for (i, value) in diagonal.iter_mut().enumerate() {
        *value = a[i * n + i];
    }
    // The product of all reflections, from the smallest to the largest.
    a.fill(0.0);
    for i in 0..n {
        a[i * n + i] = 1.0;
    }
    for v in reflections.iter().rev() {
        let m = v.len();
        for row in a.chunks_exact_mut(n).take(m) {
            let along: f64 = row.iter().zip(v).map(|(r, v)| r * v).sum();
            row.iter_mut().zip(v).for_each(|(r, v)| *r -= along * v);
        }
    }
}

/// H A H of the leading part of `a` as long as `v`, in its lower triangle, with H = 1 - factor v vᵀ.
fn reflect_both(a: &mut [f64], n: usize, v: &[f64], factor: f64, product: &mut [f64]) {
    let m = v.len();
    let p = &mut product[..m];
    p.fill(0.0);
    for r in 0..m {
        let row = &a[r * n..r * n + r];
        let mut sum = a[r * n + r] * v[r];
        for (c, value) in row.iter().enumerate() {
            sum += value * v[c];
            p[c] += value * v[r];
        }
        p[r] += sum;
    }
    p.iter_mut().for_each(|p| *p *= factor);
    let half = 0.5 * factor * p.iter().zip(v).map(|(p, v)| p * v).sum::<f64>();
    p.iter_mut().zip(v).for_each(|(p, v)| *p -= half * v);
    for r in 0..m {
        let (vr, pr) = (v[r], p[r]);
        let row = &mut a[r * n..=r * n + r];
        for ((value, v), p) in row.iter_mut().zip(v).zip(&*p) {
            *value -= vr * p + pr * v;
        }
    }
}

/// Rotates the tridiagonal matrix to a diagonal one, and the rows of `vectors` with it.
fn implicit_ql(vectors: &mut [f64], n: usize, d: &mut [f64], e: &mut [f64]) -> Option<()> {
    e.rotate_left(usize::from(n > 0));
    for l in 0..n {
        for step in 0.. {
            let small = |m: &usize| e[*m].abs() <= f64::EPSILON * (d[*m].abs() + d[*m + 1].abs());
            let m = (l..n.saturating_sub(1)).find(small).unwrap_or(n - 1);
            if m == l {
                break;
            }
            if step == STEPS {
                return None;
            }
            let g = (d[l + 1] - d[l]) / (2.0 * e[l]);
            let r = g.hypot(1.0);
            let mut g = d[m] - d[l] + e[l] / (g + r.copysign(g));
            let (mut s, mut c, mut p) = (1.0, 1.0, 0.0);
            let mut split = false;
            for i in (l..m).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = f.hypot(g);
                e[i + 1] = r;
                if r == 0.0 {
                    d[i + 1] -= p;
                    e[m] = 0.0;
                    split = true;
                    break;
                }
                (s, c) = (f / r, g / r);
                let g2 = d[i + 1] - p;
                let r = (d[i] - g2) * s + 2.0 * c * b;
                p = s * r;
                d[i + 1] = g2 + p;
                g = c * r - b;
                let (upper, lower) = vectors.split_at_mut((i + 1) * n);
                for (a, b) in upper[i * n..].iter_mut().zip(&mut lower[..n]) {
                    (*a, *b) = (c * *a - s * *b, s * *a + c * *b);
                }
            }
            if !split {
                d[l] -= p;
                e[l] = g;
                e[m] = 0.0;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;

    #[test]
    fn vectors_are_orthonormal_and_make_the_matrix_again() {
        for n in [1, 2, 3, 10, 57] {
            let stream = Stream::new(n as u64, "symmetric");
            let at = |i: usize, j: usize| {
                f64::from(stream.uniform((i.max(j) * n + i.min(j)) as u64)) - 0.3
            };
            let matrix: Vec<f64> = (0..n * n).map(|k| at(k / n, k % n)).collect();
            let found = eigen(matrix.clone(), n).expect("finite");
            assert!(found.values.windows(2).all(|pair| pair[0] >= pair[1]));
            let v = |k: usize, i: usize| found.vectors[k * n + i];
            for i in 0..n {
                for j in 0..n {
                    let made: f64 = (0..n).map(|k| found.values[k] * v(k, i) * v(k, j)).sum();
                    assert!(
                        (made - matrix[i * n + j]).abs() < 1e-12 * n as f64,
                        "{n}: {i} {j}"
                    );
                    let dot: f64 = (0..n).map(|k| v(i, k) * v(j, k)).sum();
                    let expected = if i == j { 1.0 } else { 0.0 };
                    assert!((dot - expected).abs() < 1e-12 * n as f64, "{n}: {i} {j}");
                }
            }
        }
    }

    #[test]
    fn zeros_equal_values_and_what_is_no_number() {
        let identity = eigen(vec![1.0, 0.0, 0.0, 1.0], 2).expect("finite");
        assert_eq!(identity.values, [1.0, 1.0]);
        assert_eq!(eigen(vec![0.0; 9], 3).expect("finite").values, [0.0; 3]);
        let rank_one: Vec<f64> = (0..16)
            .map(|k| f64::from((k / 4 + 1) * (k % 4 + 1)))
            .collect();
        let found = eigen(rank_one, 4).expect("finite");
        assert!((found.values[0] - 30.0).abs() < 1e-12 && found.values[1].abs() < 1e-12);
        assert!(eigen(vec![1.0, f64::NAN, f64::NAN, 1.0], 2).is_none());
    }
}
