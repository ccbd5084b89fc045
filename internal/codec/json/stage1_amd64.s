//go:build !noasm

#include "textflag.h"

// A byte b is unclean if, as a signed number, ' ' > b and b is no newline, or if
// it is a backslash. The signed order puts the bytes from 0x80 on below ' '.

DATA spaces<>+0(SB)/8, $0x2020202020202020
DATA spaces<>+8(SB)/8, $0x2020202020202020
DATA spaces<>+16(SB)/8, $0x2020202020202020
DATA spaces<>+24(SB)/8, $0x2020202020202020
GLOBL spaces<>(SB), RODATA|NOPTR, $32

DATA newlines<>+0(SB)/8, $0x0A0A0A0A0A0A0A0A
DATA newlines<>+8(SB)/8, $0x0A0A0A0A0A0A0A0A
DATA newlines<>+16(SB)/8, $0x0A0A0A0A0A0A0A0A
DATA newlines<>+24(SB)/8, $0x0A0A0A0A0A0A0A0A
GLOBL newlines<>(SB), RODATA|NOPTR, $32

DATA backslashes<>+0(SB)/8, $0x5C5C5C5C5C5C5C5C
DATA backslashes<>+8(SB)/8, $0x5C5C5C5C5C5C5C5C
DATA backslashes<>+16(SB)/8, $0x5C5C5C5C5C5C5C5C
DATA backslashes<>+24(SB)/8, $0x5C5C5C5C5C5C5C5C
GLOBL backslashes<>(SB), RODATA|NOPTR, $32

// func stage1AVX2(p *byte, n int, nl *uint64) (unclean bool)
TEXT ·stage1AVX2(SB), NOSPLIT, $0-25
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ nl+16(FP), DI
	VMOVDQU spaces<>(SB), Y13
	VMOVDQU newlines<>(SB), Y14
	VMOVDQU backslashes<>(SB), Y15
	VPXOR Y12, Y12, Y12 // unclean bytes so far

word:
	VMOVDQU (SI), Y0
	VMOVDQU 32(SI), Y1
	VPCMPEQB Y0, Y14, Y2
	VPCMPEQB Y1, Y14, Y3
	VPMOVMSKB Y2, AX
	VPMOVMSKB Y3, BX
	SHLQ $32, BX
	ORQ BX, AX
	MOVQ AX, (DI)
	VPCMPGTB Y0, Y13, Y4
	VPCMPGTB Y1, Y13, Y5
	VPANDN Y4, Y2, Y4
	VPANDN Y5, Y3, Y5
	VPCMPEQB Y0, Y15, Y6
	VPCMPEQB Y1, Y15, Y7
	VPOR Y4, Y6, Y6
	VPOR Y5, Y7, Y7
	VPOR Y6, Y12, Y12
	VPOR Y7, Y12, Y12
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JNZ word

	VPTEST Y12, Y12
	SETNE unclean+24(FP)
	VZEROUPPER
	RET

// QUARTER adds 16 bytes at an offset: their newline bits to R8, unclean bytes to X12.
#define QUARTER(offset) \
	MOVOU offset(SI), X0; \
	MOVO X14, X2; \
	PCMPEQB X0, X2; \
	PMOVMSKB X2, AX; \
	SHLQ $offset, AX; \
	ORQ AX, R8; \
	MOVO X13, X4; \
	PCMPGTB X0, X4; \
	PANDN X4, X2; \
	POR X2, X12; \
	PCMPEQB X15, X0; \
	POR X0, X12

// func stage1SSE2(p *byte, n int, nl *uint64) (unclean bool)
TEXT ·stage1SSE2(SB), NOSPLIT, $0-25
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ nl+16(FP), DI
	MOVOU spaces<>(SB), X13
	MOVOU newlines<>(SB), X14
	MOVOU backslashes<>(SB), X15
	PXOR X12, X12

quarters:
	XORQ R8, R8
	QUARTER(0)
	QUARTER(16)
	QUARTER(32)
	QUARTER(48)
	MOVQ R8, (DI)
	ADDQ $64, SI
	ADDQ $8, DI
	DECQ CX
	JNZ quarters

	PMOVMSKB X12, AX
	TESTL AX, AX
	SETNE unclean+24(FP)
	RET
