// The workloads in C, without a library: each export takes how often to do its
// work and returns a sum of the results.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#define EXPORT(name) __attribute__((export_name(#name), used))

static u64 seed;

static u64 next(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

static int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

EXPORT(fib) i64 fib(int n) {
  i64 sum = 0;
  for (int i = 0; i < n; i++) sum += fibonacci(20 + (i & 1));
  return sum;
}

#define SIZE 48
static double a[SIZE][SIZE], b[SIZE][SIZE], c[SIZE][SIZE];

EXPORT(matrix) i64 matrix(int n) {
  for (int i = 0; i < SIZE; i++)
    for (int j = 0; j < SIZE; j++) {
      a[i][j] = (double)(i + j) / SIZE;
      b[i][j] = (double)(i - j) / SIZE;
    }
  for (int r = 0; r < n; r++) {
    for (int i = 0; i < SIZE; i++)
      for (int j = 0; j < SIZE; j++) {
        double sum = 0;
        for (int k = 0; k < SIZE; k++) sum += a[i][k] * b[k][j];
        c[i][j] = sum;
      }
    a[0][0] = c[SIZE - 1][SIZE - 1] / SIZE;
  }
  return (i64)(c[SIZE / 2][SIZE / 3] * 1000);
}

static u8 composite[1 << 16];

EXPORT(sieve) i64 sieve(int n) {
  i64 sum = 0;
  for (int r = 0; r < n; r++) {
    for (u32 i = 0; i < sizeof composite; i++) composite[i] = 0;
    for (u32 i = 2; i < sizeof composite; i++) {
      if (composite[i]) continue;
      sum++;
      for (u64 j = (u64)i * i; j < sizeof composite; j += i) composite[j] = 1;
    }
  }
  return sum;
}

static u32 numbers[4096];

static void quick(int low, int high) {
  while (low < high) {
    u32 pivot = numbers[(low + high) / 2];
    int i = low, j = high;
    while (i <= j) {
      while (numbers[i] < pivot) i++;
      while (numbers[j] > pivot) j--;
      if (i <= j) {
        u32 swap = numbers[i];
        numbers[i++] = numbers[j];
        numbers[j--] = swap;
      }
    }
    quick(low, j);
    low = i;
  }
}

EXPORT(sort) i64 sort(int n) {
  i64 sum = 0;
  seed = 1;
  for (int r = 0; r < n; r++) {
    for (int i = 0; i < 4096; i++) numbers[i] = (u32)next();
    quick(0, 4095);
    sum += numbers[2048];
  }
  return sum;
}

// A machine of four instructions that counts to 1,000.
static const int program[] = {0, 1, 1, 0, 2, 1000, 3, 0};

EXPORT(interpreter) i64 interpreter(int n) {
  i64 sum = 0;
  for (int r = 0; r < n; r++) {
    int count = 0, top = 0, less = 0;
    for (int at = 0; at < 8; at += 2) {
      int operand = program[at + 1];
      switch (program[at]) {
      case 0: top = operand; break;
      case 1: count += top; break;
      case 2: less = count < operand; break;
      case 3: if (less) at = operand - 2; break;
      }
      sum += count;
    }
  }
  return sum;
}

static u8 text[1 << 14];

EXPORT(crc) i64 crc(int n) {
  u32 sum = 0;
  seed = 1;
  for (u32 i = 0; i < sizeof text; i++) text[i] = (u8)next();
  for (int r = 0; r < n; r++) {
    sum = ~sum;
    for (u32 i = 0; i < sizeof text; i++) {
      sum ^= text[i];
      for (int k = 0; k < 8; k++) sum = sum >> 1 ^ (0xEDB88320u & -(sum & 1));
    }
    sum = ~sum;
  }
  return sum;
}
