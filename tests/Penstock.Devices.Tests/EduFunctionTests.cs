using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Vfio;

namespace Penstock.Devices.Tests;

/// <summary>Identification, liveness, factorial unit and interrupts of the EDU device, by the numbers of its public description.</summary>
public sealed class EduFunctionTests : IDisposable
{
    private const ulong Identification = 0x00;
    private const ulong Liveness = 0x04;
    private const ulong Factorial = 0x08;
    private const ulong Status = 0x20;
    private const ulong InterruptStatus = 0x24;
    private const ulong Raise = 0x60;
    private const ulong Acknowledge = 0x64;
    private const ulong Buffer = 0x40000;

    private readonly EduSlot _slot = new();

    public void Dispose() => _slot.Dispose();

    [Fact]
    public void Description_IsThatOfThePublishedDevice()
    {
        var facts = _slot.Edu.Description;
        Assert.Equal((0x1234, 0x11e8), ((int)facts.VendorId, (int)facts.DeviceId));
        Assert.Equal(new PciBar(0, PciBarKind.Memory32, 1 << 20), Assert.Single(facts.Bars));
        Assert.Equal(1u, _slot.File.GetIrqInfo((uint)VfioIrqs.Intx).Count);
        Assert.Equal(1u, _slot.File.GetIrqInfo((uint)VfioIrqs.Msi).Count);
        Assert.Equal(0u, _slot.File.GetIrqInfo((uint)VfioIrqs.Msix).Count);
    }

    [Fact]
    public void Identification_ReadsTheVersion_AndCannotBeWritten()
    {
        _slot.Write32(Identification, 0xffffffff);
        Assert.Equal(0x010000edu, _slot.Read32(Identification));
    }

    [Theory]
    [InlineData(0u)]
    [InlineData(0x12345678u)]
    [InlineData(0xffffffffu)]
    public void Liveness_ReadsTheComplement(uint value)
    {
        _slot.Write32(Liveness, value);
        Assert.Equal(~value, _slot.Read32(Liveness));
    }

    [Theory]
    [InlineData(0u, 1u)]
    [InlineData(1u, 1u)]
    [InlineData(5u, 120u)]
    [InlineData(12u, 479001600u)]
    [InlineData(13u, 1932053504u)]
    [InlineData(33u, 2147483648u)]
    [InlineData(34u, 0u)]
    [InlineData(uint.MaxValue, 0u)]
    public void Factorial_OfANumber_IsThatOf32BitArithmetic(uint number, uint expected)
    {
        _slot.Write32(Factorial, number);
        _slot.WaitForFactorial();
        Assert.Equal(expected, _slot.Read32(Factorial));
        Assert.Equal(1, _slot.Edu.Factorials);
        Assert.Equal(0, _slot.Edu.InterruptsRaised);
    }

    [Fact]
    public void Factorial_WithTheStatusBit_RaisesCause1()
    {
        InterruptCapture interrupt = _slot.Bench.CaptureMsi();
        _slot.Write32(Status, 0xffffffff);
        Assert.Equal(0x80u, _slot.Read32(Status));
        _slot.Write32(Factorial, 6);
        interrupt.WaitFor();
        Assert.Equal(720u, _slot.Read32(Factorial));
        Assert.Equal(1u, _slot.Read32(InterruptStatus));
        Assert.Equal(0x80u, _slot.Read32(Status));
    }

    [Fact]
    public void Status_BitsThatDoNotExist_AreDroppedAndTold()
    {
        _slot.Write32(Status, 0x41);
        Assert.Equal(0u, _slot.Read32(Status));
        Assert.Contains("unknown bits 0x40 of STATUS", _slot.TakeNotice(), StringComparison.Ordinal);
    }

    [Fact]
    public void Pin_StaysUpUntilEveryCauseIsAcknowledged()
    {
        InterruptCapture interrupt = _slot.Bench.CaptureIntx();
        _slot.Write32(Raise, 0x11);
        Assert.Equal(1, interrupt.Take());
        _slot.Write32(Raise, 0x4);
        Assert.Equal(0x15u, _slot.Read32(InterruptStatus));

        // Still asserted: unmasking signals again.
        _slot.Write32(Acknowledge, 0x5);
        interrupt.Unmask();
        Assert.Equal(1, interrupt.Take());
        _slot.Write32(Acknowledge, 0x10);
        interrupt.Unmask();
        Assert.Equal(0, interrupt.Take());
        Assert.Equal(0u, _slot.Read32(InterruptStatus));
        Assert.Equal(2, _slot.Edu.InterruptsRaised);
    }

    [Fact]
    public void Message_IsSentForEachRaise()
    {
        InterruptCapture interrupt = _slot.Bench.CaptureMsi();
        _slot.Write32(Raise, 1);
        _slot.Write32(Raise, 1);
        Assert.Equal(2, interrupt.Take());
        _slot.Write32(Acknowledge, uint.MaxValue);
        Assert.Equal(0u, _slot.Read32(InterruptStatus));
        Assert.Equal(0, interrupt.Take());
    }

    [Fact]
    public void Message_IsNotSentByThePinAsWell()
    {
        InterruptCapture message = _slot.Bench.CaptureMsi();
        _slot.Write32(Raise, 1);
        Assert.Equal(1, message.Take());
        message.Dispose();
        _slot.Write32(Acknowledge, 1);
        InterruptCapture pin = _slot.Bench.CaptureIntx();
        pin.ExpectNone();
        _slot.Write32(Raise, 2);
        Assert.Equal(1, pin.Take());
    }

    [Fact]
    public void Raise_OfNothing_IsNoInterrupt()
    {
        InterruptCapture interrupt = _slot.Bench.CaptureIntx();
        _slot.Write32(Raise, 0);
        Assert.Equal(0, interrupt.Take());
        Assert.Equal(0u, _slot.Read32(Raise));
        Assert.Equal(0, _slot.Edu.InterruptsRaised);
    }

    [Theory]
    [InlineData(0x00UL, 1)]
    [InlineData(0x02UL, 2)]
    [InlineData(0x00UL, 8)]
    [InlineData(0x78UL, 8)]
    [InlineData(0x80UL, 2)]
    [InlineData(0x98UL, 1)]
    [InlineData(0x40000UL, 1)]
    public void Access_OfAWidthThatIsNotTaken_ReadsOnesWritesNothingAndIsTold(ulong offset, int width)
    {
        byte[] ones = [.. Enumerable.Repeat(byte.MaxValue, width)];
        Assert.Equal(ones, _slot.Read(offset, width));
        Assert.Contains($"read of {width} bytes at 0x{offset:x} refused", _slot.TakeNotice(), StringComparison.Ordinal);
        _slot.Write(offset, ones);
        Assert.Contains($"write of {width} bytes at 0x{offset:x} refused", _slot.TakeNotice(), StringComparison.Ordinal);
        Assert.Equal(2, _slot.Edu.RefusedAccesses);
        Assert.Equal(0x010000edu, _slot.Read32(Identification));
        Assert.Equal(0u, _slot.Read32(0x98));
        Assert.Equal(0u, _slot.Read32(Buffer));
    }

    [Fact]
    public void WrongAccesses_ByTheThousand_AreCountedAndToldSeldom()
    {
        for (int i = 0; i < 1000; i++)
        {
            _slot.Read(1, 1);
        }

        _slot.Write32(Factorial, 1);
        _slot.WaitForFactorial();
        Assert.Equal(1000, _slot.Edu.RefusedAccesses);

        // 1, 2, 4 … 512; what was posted before the factorial has been told.
        Assert.Equal(10, _slot.Notices.Count);
    }

    [Fact]
    public void WideRegister_IsReadAndWrittenWholeOrInHalves()
    {
        _slot.Write64(0x80, 0x0123456789abcdef);
        Assert.Equal(0x89abcdefu, _slot.Read32(0x80));
        Assert.Equal(0x01234567u, _slot.Read32(0x84));
        _slot.Write32(0x84, 0xfedcba98);
        Assert.Equal(0xfedcba9889abcdefUL, _slot.Read64(0x80));
    }

    [Fact]
    public void Buffer_IsMemoryForTheProcessorToo()
    {
        _slot.Write64(Buffer + 4088, 0x1122334455667788);
        Assert.Equal(0x55667788u, _slot.Read32(Buffer + 4088));
        Assert.Equal(0UL, _slot.Read64(Buffer + 4096));
        _slot.Write64(Buffer + 4096, ulong.MaxValue);
        Assert.Equal(0UL, _slot.Read64(Buffer + 4096));
    }

    [Fact]
    public void WholeBar_ReadAndWritten_DoesNotThrow()
    {
        byte[] bytes = [.. Enumerable.Repeat((byte)0xa5, 1 << 20)];
        _slot.Write(0, bytes);
        _slot.WaitForTransfer();
        Assert.Equal(bytes[0], _slot.Read(0, bytes.Length)[(int)Buffer]);
        Assert.Equal(0x010000edu, _slot.Read32(Identification));
    }

    [Fact]
    public void Access_PastTheBar_IsRefusedByTheModel()
    {
        Assert.Equal(Errno.EINVAL, _slot.Edu.ReadBar(0, 1 << 20, new byte[4]));
        Assert.Equal(Errno.EINVAL, _slot.Edu.WriteBar(0, (1 << 20) - 4, new byte[8]));
        Assert.Equal(Errno.EINVAL, _slot.Edu.ReadBar(1, 0, new byte[4]));
        Assert.Equal(Errno.EINVAL, _slot.Edu.WriteBar(0, ulong.MaxValue, new byte[4]));
    }

    [Fact]
    public void Access_ToRegistersAndBuffer_AllocatesNothing()
    {
        byte[] four = new byte[4];
        byte[] eight = new byte[8];

        // The sixth access that is refused is not told, unlike the first, second and fourth.
        for (int i = 0; i < 5; i++)
        {
            Touch();
        }

        // Nothing is left to be posted: waiting for the strand allocates.
        for (int i = 0; i < 3; i++)
        {
            _slot.TakeNotice();
        }

        _slot.Read32(Identification);
        Assert.Equal(0, AllocatedBytes.In(1, _ => Touch()));

        void Touch()
        {
            _slot.File.Read(0, Identification, four, out _);
            _slot.File.Write(0, Liveness, four, out _);
            _slot.File.Write(0, Raise, four, out _);
            _slot.File.Read(0, 3, four.AsSpan(0, 1), out _);
            _slot.File.Write(0, Buffer, eight, out _);
        }
    }

    [Fact]
    public void Reset_ClearsEverything_AndThePin()
    {
        InterruptCapture interrupt = _slot.Bench.CaptureIntx();
        _slot.Write32(Raise, 1);
        Assert.Equal(1, interrupt.Take());
        _slot.Write32(Liveness, 5);
        _slot.Write32(Status, 0x80);
        _slot.Write64(0x80, 1);
        _slot.Write64(Buffer, 1);
        _slot.File.Reset();
        Assert.Equal([0u, 0u, 0u, 0u], new[] { Liveness, Status, InterruptStatus, Buffer }.Select(_slot.Read32));
        Assert.Equal(0UL, _slot.Read64(0x80));
        Assert.Equal(0x010000edu, _slot.Read32(Identification));
        interrupt.Unmask();
        Assert.Equal(0, interrupt.Take());
    }

    [Theory]
    [InlineData(11)]
    [InlineData(65)]
    [InlineData(-1)]
    public void Create_WithImpossibleDmaBits_IsRefused(int bits) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new EduFunction(new EduOptions { DmaBits = bits }));
}
