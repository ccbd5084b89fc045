//go:build !noasm

#include "textflag.h"

// func prefetch(base unsafe.Pointer, words *uint32, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-24
	MOVQ base+0(FP), DI
	MOVQ words+8(FP), SI
	MOVQ n+16(FP), CX
	TESTQ CX, CX
	JE   done
loop:
	MOVL (SI), AX
	PREFETCHT0 (DI)(AX*8)
	ADDQ $4, SI
	DECQ CX
	JNE  loop
done:
	RET
