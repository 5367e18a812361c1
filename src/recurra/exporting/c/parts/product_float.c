typedef struct {
    const float *weights; /* rows of `columns` values */
    int columns;
} model_matrix;

/* Returns the product of a row of a matrix and a vector. */
static float model_product(const model_matrix *matrix, int row, const float *vector) {
    const float *weights = matrix->weights + (size_t)row * (size_t)matrix->columns;
    float sum = 0.0f;
    int i;
    for (i = 0; i < matrix->columns; i++) sum += weights[i] * vector[i];
    return sum;
}
