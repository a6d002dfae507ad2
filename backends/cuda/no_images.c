/* SPDX-License-Identifier: Apache-2.0 */
/* A build without nvcc: the backend is there and says that it has no kernels. */
#include "kernels/images/images.h"

const struct weir_gpu_image weir_cuda_images[1];
const size_t weir_cuda_images_count = 0;
