# A guest in one boot sector, for tests that need a machine and no system: it starts in a tenth of a second.
# guest.bin is made of it with: as -o guest.o guest.s && objcopy -O binary -j .text guest.o guest.bin
#
# It writes "ready" to screen and serial port, then waits for keys: n counts up and shows the digit; w writes the digit to the
# second sector of the second disk, d shows what is there, both show ! for an error; s shuts down; r reboots; any other key is
# shown. The power button shuts down.
.code16
start:
  ljmp $0, $(0x7c00 + (main - start))
main:
  xor %ax, %ax
  mov %ax, %ds
  mov %ax, %es
  mov %ax, %ss
  mov $0x7c00, %sp
  movb $'0', 0x500
  mov $0x602, %dx            # PM1 enable, of ICH9 as SeaBIOS places it
  in %dx, %ax
  or $0x100, %ax             # the power button
  out %ax, %dx
  mov $(0x7c00 + (ready - start)), %si
1: lodsb
  test %al, %al
  jz idle
  call show
  jmp 1b

idle:
  mov $0x600, %dx            # PM1 status
  in %dx, %ax
  test $0x100, %ax
  jnz off
  mov $0x01, %ah             # is there a key?
  int $0x16
  jnz key
  sti
  hlt                        # until the next tick
  jmp idle

key:
  mov $0x00, %ah
  int $0x16
  cmp $'n', %al
  je count
  cmp $'w', %al
  je write
  cmp $'d', %al
  je read
  cmp $'s', %al
  je off
  cmp $'r', %al
  je reset
print:
  call show
  jmp idle

count:
  incb 0x500
  mov 0x500, %al
  jmp print

write:
  mov 0x500, %al
  mov %al, 0x1000
  mov $0x0301, %ax
  call disk
  jmp print

read:
  mov $0x0201, %ax
  call disk
  jmp print

# disk does %ax on one sector and gives its first byte, or !, in %al.
disk:
  mov $0x0002, %cx
  mov $0x0081, %dx
  mov $0x1000, %bx
  int $0x13
  mov $'!', %al
  jc 1f
  mov 0x1000, %al
1: ret

off:
  mov $0x604, %dx            # PM1 control
  mov $0x2000, %ax           # SLP_EN, with the sleep type of S5
  out %ax, %dx
2: hlt
  jmp 2b

reset:
  mov $0xcf9, %dx
  mov $0x06, %al
  out %al, %dx
  jmp 2b

# show writes %al to screen and serial port.
show:
  push %ax
  mov $0x0e, %ah
  mov $0x0007, %bx
  int $0x10
  pop %ax
  mov $0x3f8, %dx
  out %al, %dx
  ret

ready:
  .asciz "ready\r\n"
.org 510
  .word 0xaa55
