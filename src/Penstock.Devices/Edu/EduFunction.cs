using System.Globalization;
using System.Numerics;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Pci;

namespace Penstock.Devices;

/// <summary>
/// Model of QEMU's teaching device EDU (1234:11e8), after its public description: an identification, a liveness check, a factorial unit,
/// an interrupt by pin or MSI, and a DMA unit with a buffer of 4 KiB.
/// <para>
/// Where the description is silent: the factorial is that of 32-bit arithmetic (0 from 34 on) and its interrupt has cause 1. While a
/// factorial or a transfer runs, writes to the registers of that unit are dropped. An access of a width that the description does not allow
/// reads ones and writes nothing. Address bits that the DMA unit does not have are cut off. A transfer that fails changes nothing in the
/// device but ends like any other: the driver sees it end, the person who serves the device is told. The buffer is there for the processor as
/// well as for DMA. An 8-byte register may be written in halves.
/// </para>
/// </summary>
public sealed partial class EduFunction : IMigratableFunction
{
    private const byte InterruptPinA = 1;
    private const uint UnclassifiedDevice = 0x00FF00;
    private const byte BoardRevision = 0x10;
    private const uint AllOnes = uint.MaxValue;

    /// <summary>From here on n! is a multiple of 2^32.</summary>
    private const uint FirstZeroFactorial = 34;

    private static readonly PciFunctionDescription Facts = new()
    {
        VendorId = EduRegisters.VendorId,
        DeviceId = EduRegisters.DeviceId,
        ClassCode = UnclassifiedDevice,
        Revision = BoardRevision,
        InterruptPin = InterruptPinA,

        // VFIO hands out a device that is enabled: its registers answer, and DMA waits for Bus Master.
        InitialCommand = PciCommand.Memory,
        Bars = [new PciBar(EduRegisters.BarIndex, PciBarKind.Memory32, EduRegisters.BarSize)],
        Capabilities = static () => [new MsiCapability(1, maskable: false)],
    };

    private readonly RegisterFile _registers;
    private readonly byte[] _buffer = new byte[EduRegisters.BufferSize];

    // What is under way: a transfer by message lets register calls in, and they may change the buffer.
    private readonly byte[] _bounce = new byte[EduRegisters.BufferSize];
    private readonly DelayedWork _factorial;
    private readonly DelayedWork _transfer;
    private readonly ulong _addressMask;
    private PciFunctionPort? _port;
    private int _abandoned;

    // Written on the strand, read from anywhere.
    private long _interrupts;
    private long _factorials;
    private long _transfers;
    private long _transferredBytes;
    private long _failedTransfers;
    private long _cutAddresses;
    private long _refusedAccesses;
    private volatile string? _lastFailure;

    /// <summary>Creates a device.</summary>
    /// <param name="options">How; null for a device as QEMU's.</param>
    public EduFunction(EduOptions? options = null)
    {
        options ??= new EduOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(options.DmaBits, EduOptions.FewestDmaBits, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.DmaBits, EduOptions.MostDmaBits, nameof(options));
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Delay, TimeSpan.Zero, nameof(options));
        _addressMask = ulong.MaxValue >> (EduOptions.MostDmaBits - options.DmaBits);
        _factorial = new DelayedWork(Compute, options.Delay, options.Time);
        _transfer = new DelayedWork(Transfer, options.Delay, options.Time);
        _registers = new RegisterFile("edu", EduRegisters.End, DeclareRegisters(), Tell);
        State = DeclareState(options.DmaBits);
    }

    /// <summary>
    /// Something that the person who serves the device should know, one line: a transfer that failed, an access that the device does not
    /// know. Of the same kind the first, second, fourth, eighth … are told. Raised on the strand, after the register call.
    /// </summary>
    public event Action<string>? Notice;

    /// <inheritdoc/>
    public PciFunctionDescription Description => Facts;

    /// <summary>How often an interrupt was raised, by the driver itself, the factorial unit or the DMA unit. From any thread, as all counters.</summary>
    public long InterruptsRaised => Interlocked.Read(ref _interrupts);

    /// <summary>How many factorials were computed.</summary>
    public long Factorials => Interlocked.Read(ref _factorials);

    /// <summary>How many transfers were done, in both directions.</summary>
    public long Transfers => Interlocked.Read(ref _transfers);

    /// <summary>How many bytes they moved.</summary>
    public long TransferredBytes => Interlocked.Read(ref _transferredBytes);

    /// <summary>How many transfers failed: outside the buffer, nothing mapped, not allowed, nobody answered.</summary>
    public long FailedTransfers => Interlocked.Read(ref _failedTransfers);

    /// <summary>The last transfer that failed and why, or null.</summary>
    public string? LastFailure => _lastFailure;

    /// <summary>How many accesses to the BAR had a width that the device does not take.</summary>
    public long RefusedAccesses => Interlocked.Read(ref _refusedAccesses);

    /// <inheritdoc/>
    public void Attach(PciFunctionPort port)
    {
        ArgumentNullException.ThrowIfNull(port);
        _port = port;
    }

    /// <inheritdoc/>
    public Errno ReadBar(int bar, ulong offset, Span<byte> data)
    {
        if (!InBar(bar, offset, data.Length))
        {
            return Errno.EINVAL;
        }

        if (!TakesWidth(offset, data.Length))
        {
            Refuse("read", offset, data.Length);
            data.Fill(byte.MaxValue);
        }
        else if (InBuffer(offset))
        {
            _buffer.AsSpan((int)offset - EduRegisters.Buffer, data.Length).CopyTo(data);
        }
        else if (offset < EduRegisters.End)
        {
            return _registers.Read(offset, data);
        }
        else
        {
            data.Clear();
        }

        return Errno.None;
    }

    /// <inheritdoc/>
    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data)
    {
        if (!InBar(bar, offset, data.Length))
        {
            return Errno.EINVAL;
        }

        if (!TakesWidth(offset, data.Length))
        {
            Refuse("write", offset, data.Length);
        }
        else if (InBuffer(offset))
        {
            data.CopyTo(_buffer.AsSpan((int)offset - EduRegisters.Buffer));
        }
        else if (offset < EduRegisters.End)
        {
            return _registers.Write(offset, data);
        }

        return Errno.None;
    }

    /// <inheritdoc/>
    /// <remarks>The buffer is cleared; what was under way is abandoned, without an interrupt.</remarks>
    public void Reset(PciResetKind kind)
    {
        Abandon();
        _registers.Reset();
        Array.Clear(_buffer);
        _port?.SetIntx(false);
    }

    /// <summary>What is under way has no effects any more.</summary>
    private void Abandon()
    {
        _abandoned++;
        _factorial.Cancel();
        _transfer.Cancel();
    }

    private static bool InBar(int bar, ulong offset, int length) =>
        bar == EduRegisters.BarIndex && offset < EduRegisters.BarSize && length <= EduRegisters.BarSize - (int)offset;

    private static bool InBuffer(ulong offset) => offset is >= EduRegisters.Buffer and < EduRegisters.Buffer + EduRegisters.BufferSize;

    /// <summary>The core hands over naturally aligned accesses only.</summary>
    private static bool TakesWidth(ulong offset, int length) =>
        length == sizeof(uint) || (length == sizeof(ulong) && offset >= EduRegisters.WideRegisters);

    private Register[] DeclareRegisters() =>
    [
        new("IDENTIFICATION", EduRegisters.Identification, sizeof(uint), EduRegisters.IdentificationValue) { ReadOnlyMask = AllOnes },
        new("LIVENESS", EduRegisters.Liveness, sizeof(uint)) { OnWrite = (_, after, _) => _registers[EduRegisters.Liveness] = (uint)~after },
        new("FACTORIAL", EduRegisters.Factorial, sizeof(uint)) { OnWrite = StartFactorial },
        new("STATUS", EduRegisters.Status, sizeof(uint))
        {
            ReadOnlyMask = EduRegisters.StatusComputing,
            UnknownMask = AllOnes & ~(EduRegisters.StatusComputing | EduRegisters.StatusInterruptWhenComputed),
        },
        new("INTERRUPT STATUS", EduRegisters.InterruptStatus, sizeof(uint)) { ReadOnlyMask = AllOnes },
        new("INTERRUPT RAISE", EduRegisters.InterruptRaise, sizeof(uint)) { ReadOnlyMask = AllOnes, OnWrite = (_, _, causes) => Raise((uint)causes) },
        new("INTERRUPT ACKNOWLEDGE", EduRegisters.InterruptAcknowledge, sizeof(uint)) { ReadOnlyMask = AllOnes, OnWrite = (_, _, causes) => Acknowledge((uint)causes) },
        new("DMA SOURCE", EduRegisters.DmaSource, sizeof(ulong)) { OnWrite = KeepWhileRunning(EduRegisters.DmaSource) },
        new("DMA DESTINATION", EduRegisters.DmaDestination, sizeof(ulong)) { OnWrite = KeepWhileRunning(EduRegisters.DmaDestination) },
        new("DMA COUNT", EduRegisters.DmaCount, sizeof(ulong)) { OnWrite = KeepWhileRunning(EduRegisters.DmaCount) },
        new("DMA COMMAND", EduRegisters.DmaCommand, sizeof(ulong)) { OnWrite = StartTransfer },
    ];

    private bool IsComputing => (_registers[EduRegisters.Status] & EduRegisters.StatusComputing) != 0;

    private bool IsTransferring => (_registers[EduRegisters.DmaCommand] & EduRegisters.CommandStart) != 0;

    private RegisterWrite KeepWhileRunning(int register) => (before, _, _) =>
    {
        if (IsTransferring)
        {
            _registers[register] = before;
        }
    };

    private void StartFactorial(ulong before, ulong after, ulong written)
    {
        if (IsComputing)
        {
            _registers[EduRegisters.Factorial] = before;
        }
        else if (_port is { } port)
        {
            _registers[EduRegisters.Status] |= EduRegisters.StatusComputing;
            _factorial.Start(port.Strand);
        }
    }

    private void Compute()
    {
        _registers[EduRegisters.Factorial] = FactorialOf((uint)_registers[EduRegisters.Factorial]);
        _registers[EduRegisters.Status] &= ~(ulong)EduRegisters.StatusComputing;
        Interlocked.Increment(ref _factorials);
        if ((_registers[EduRegisters.Status] & EduRegisters.StatusInterruptWhenComputed) != 0)
        {
            Raise(EduRegisters.CauseFactorial);
        }
    }

    private static uint FactorialOf(uint number)
    {
        if (number >= FirstZeroFactorial)
        {
            return 0;
        }

        uint product = 1;
        for (uint factor = 2; factor <= number; factor++)
        {
            product *= factor;
        }

        return product;
    }

    private void Raise(uint causes)
    {
        uint status = (uint)_registers[EduRegisters.InterruptStatus] | causes;
        _registers[EduRegisters.InterruptStatus] = status;
        if (status == 0 || _port is not { } port)
        {
            return;
        }

        Interlocked.Increment(ref _interrupts);
        if (port.UsesVectors)
        {
            port.SignalVector(0);
        }
        else
        {
            port.SetIntx(true);
        }
    }

    private void Acknowledge(uint causes)
    {
        _registers[EduRegisters.InterruptStatus] &= ~(ulong)causes;
        if (_registers[EduRegisters.InterruptStatus] == 0)
        {
            _port?.SetIntx(false);
        }
    }

    private void StartTransfer(ulong before, ulong after, ulong written)
    {
        if ((before & EduRegisters.CommandStart) != 0)
        {
            _registers[EduRegisters.DmaCommand] = before;
        }
        else if ((after & EduRegisters.CommandStart) != 0 && _port is { } port)
        {
            _transfer.Start(port.Strand);
        }
    }

    private void Transfer()
    {
        ulong command = _registers[EduRegisters.DmaCommand];
        var transfer = EduTransfer.Of(
            _registers[EduRegisters.DmaSource], _registers[EduRegisters.DmaDestination], _registers[EduRegisters.DmaCount], command, _addressMask);
        if (transfer.CutBits != 0 && IsTold(Interlocked.Increment(ref _cutAddresses)))
        {
            Tell($"address 0x{transfer.Iova | transfer.CutBits:x} has bits that the device does not have; it uses 0x{transfer.Iova:x}");
        }

        string? failure = transfer.Check(_addressMask);
        if (failure is null)
        {
            int turn = _abandoned;
            Errno errno = Move(transfer, turn);
            if (turn != _abandoned)
            {
                return;
            }

            failure = errno == Errno.None ? null : transfer.Explain(errno);
        }

        if (failure is null)
        {
            Interlocked.Increment(ref _transfers);
            Interlocked.Add(ref _transferredBytes, (long)transfer.Count);
        }
        else
        {
            string text = $"DMA of {transfer} failed: {failure}";
            _lastFailure = text;
            if (IsTold(Interlocked.Increment(ref _failedTransfers)))
            {
                Tell(text);
            }
        }

        _registers[EduRegisters.DmaCommand] = command & ~EduRegisters.CommandStart;
        if ((command & EduRegisters.CommandInterruptWhenDone) != 0)
        {
            Raise(EduRegisters.CauseDma);
        }
    }

    /// <summary>Memory that is reached by messages lets other calls onto the strand meanwhile, even a reset.</summary>
    private Errno Move(EduTransfer transfer, int turn)
    {
        Span<byte> place = _buffer.AsSpan(transfer.BufferOffset, (int)transfer.Count);
        Span<byte> bounce = _bounce.AsSpan(0, place.Length);
        if (transfer.ToMemory)
        {
            place.CopyTo(bounce);
            return _port!.Dma.Write(transfer.Iova, bounce);
        }

        Errno errno = _port!.Dma.Read(transfer.Iova, bounce);
        if (errno == Errno.None && turn == _abandoned)
        {
            bounce.CopyTo(place);
        }

        return errno;
    }

    private void Refuse(string what, ulong offset, int length)
    {
        if (IsTold(Interlocked.Increment(ref _refusedAccesses)))
        {
            Tell(string.Create(
                CultureInfo.InvariantCulture,
                $"{what} of {length} bytes at 0x{offset:x} refused: the device takes 4 bytes, from 0x{EduRegisters.WideRegisters:x} on also 8"));
        }
    }

    /// <summary>A guest can make the same mistake a million times a second: told are the first, second, fourth, eighth …</summary>
    private static bool IsTold(long count) => BitOperations.IsPow2(count);

    private void Tell(string text) => _port?.Strand.Post(() => Notice?.Invoke(text));
}
