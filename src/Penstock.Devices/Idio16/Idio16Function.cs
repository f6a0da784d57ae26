using System.Numerics;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Specs.Idio16;
using Penstock.Specs.Pci;
using Penstock.Vfio;

namespace Penstock.Devices;

/// <summary>
/// Model of the ACCES PCI-IDIO-16 card: 16 outputs, 16 isolated inputs, an interrupt on INTA when an input changes in either direction.
/// The register map is that of the card's manual and of Linux <c>gpio-pci-idio-16</c>, which binds to it.
/// <para>
/// Lines have the card's own numbers here: inputs 0 to 15, outputs 0 to 15. Linux numbers both in one row: its lines 0 to 15 are the outputs
/// (OUT0 to OUT15), 16 to 31 are the inputs (IIN0 to IIN15), so that input 3 here is line 19 there.
/// </para>
/// <para>
/// Known of the card: ids, BAR 2, the registers and what switches interrupts on, off and clears them. Assumed, as no public text says
/// it: class code ff0000 (a device that fits no class); status bits 0 and 1 tell the half in which an input changed (old Linux drivers
/// want one of them set); changes while interrupts are off are not remembered; switching interrupts off lowers the pin but keeps what
/// was pending, as on the vendor's related cards; the input filters, which delay real inputs by 5 ms, are registers without effect here.
/// </para>
/// </summary>
public sealed class Idio16Function : IPciFunction
{
    /// <summary>Number of input lines.</summary>
    public const int InputCount = 16;

    /// <summary>Number of output lines.</summary>
    public const int OutputCount = 16;

    private const int LinesPerPort = 8;
    private const byte AllFilters = 0xFF;
    private const byte InterruptPinA = 1;
    private const uint UnclassifiedDevice = 0xFF0000;

    private static readonly PciFunctionDescription Facts = new()
    {
        VendorId = Idio16Registers.VendorId,
        DeviceId = Idio16Registers.DeviceId,
        ClassCode = UnclassifiedDevice,
        InterruptPin = InterruptPinA,

        // A device that VFIO hands out is enabled already; not every user writes the command register.
        InitialCommand = PciCommand.Io,
        Bars = [new PciBar(Idio16Registers.BarIndex, PciBarKind.Io, Idio16Registers.BarSize)],
    };

    private readonly Lock _plug = new();
    private readonly RegisterFile _registers;
    private PciFunctionPort? _port;
    private OutputAnnouncer? _announcer;

    // Written on the strand only (before Attach: under _plug); read from anywhere.
    private volatile int _outputs;
    private volatile int _inputs;
    private bool _interruptsOn;
    private bool _pinHigh;
    private bool _allFilters;
    private long _interruptsRaised;
    private long _changeEvents;

    /// <summary>Creates a card.</summary>
    /// <param name="inputs">Levels at the inputs, bit 0 for input 0.</param>
    public Idio16Function(ushort inputs = 0)
    {
        _inputs = inputs;
        _registers = new RegisterFile("PCI-IDIO-16", Idio16Registers.BarSize, DeclareRegisters());
    }

    /// <summary>
    /// An output has another level: line and level. Raised on a pool thread after the register call, under no lock and not on the strand, one
    /// event at a time and in order, so a handler may call anything, even <see cref="SetInput"/>. A handler that is slower than the guest
    /// for long (1,024 writes behind) misses changes that were taken back in between, never the final level.
    /// </summary>
    public event Action<int, bool>? OutputChanged;

    /// <inheritdoc/>
    public PciFunctionDescription Description => Facts;

    /// <summary>Levels of the outputs, bit 0 for output 0. May be read from any thread.</summary>
    public ushort Outputs => (ushort)_outputs;

    /// <summary>Levels at the inputs, bit 0 for input 0. May be read from any thread.</summary>
    public ushort Inputs => (ushort)_inputs;

    /// <summary>How often the interrupt pin went from low to high. May be read from any thread.</summary>
    public long InterruptsRaised => Interlocked.Read(ref _interruptsRaised);

    /// <summary>How often an input changed its level, with interrupts on or off. May be read from any thread.</summary>
    public long ChangeEvents => Interlocked.Read(ref _changeEvents);

    /// <summary>Where it runs; null before it is plugged in.</summary>
    internal Strand? Strand => Volatile.Read(ref _port)?.Strand;

    /// <summary>Level of an output. May be called from any thread.</summary>
    /// <param name="line">0 to 15.</param>
    /// <returns>Whether it is driven.</returns>
    public bool GetOutput(int line) => (_outputs & Bit(line, OutputCount)) != 0;

    /// <summary>
    /// Drives an input from outside. May be called from any thread, also before the card is plugged in; it enters the strand. Setting
    /// the level that a line has does nothing.
    /// </summary>
    /// <param name="line">0 to 15; Linux knows it as 16 + line.</param>
    /// <param name="value">Whether it is energised.</param>
    public void SetInput(int line, bool value)
    {
        var bit = Bit(line, InputCount);
        var port = Volatile.Read(ref _port);
        if (port is null)
        {
            lock (_plug)
            {
                port = _port;
                if (port is null)
                {
                    ChangeInput(bit, value);
                    return;
                }
            }
        }

        port.Strand.RunOn(() => ChangeInput(bit, value));
    }

    /// <inheritdoc/>
    public void Attach(PciFunctionPort port)
    {
        ArgumentNullException.ThrowIfNull(port);
        lock (_plug)
        {
            _announcer = new OutputAnnouncer(port.Strand, (line, value) => OutputChanged?.Invoke(line, value));
            Volatile.Write(ref _port, port);
        }
    }

    /// <inheritdoc/>
    public Errno ReadBar(int bar, ulong offset, Span<byte> data) =>
        bar == Idio16Registers.BarIndex ? _registers.Read(offset, data) : Errno.EINVAL;

    /// <inheritdoc/>
    public Errno WriteBar(int bar, ulong offset, ReadOnlySpan<byte> data) =>
        bar == Idio16Registers.BarIndex ? _registers.Write(offset, data) : Errno.EINVAL;

    /// <inheritdoc/>
    /// <remarks>Outputs, interrupts and filters go to their initial state; the inputs keep the level that the outside gives them.</remarks>
    public void Reset(PciResetKind kind)
    {
        _registers.Reset();
        _interruptsOn = false;
        _allFilters = false;
        DrivePin();
        TakeOutputs();
    }

    private static int Bit(int line, int count)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(line, count);
        return 1 << line;
    }

    private Register[] DeclareRegisters() =>
    [
        new("OUT0-7", Idio16Registers.OutputsLow, 1) { OnWrite = (_, _, _) => TakeOutputs() },
        new("IN0-7 / CLEAR IRQ", Idio16Registers.InputsLowClearInterrupt, 1)
        {
            OnRead = _ => (byte)_inputs,
            OnWrite = (_, _, _) => ClearInterrupt(),
        },
        new("ENABLE / DISABLE IRQ", Idio16Registers.InterruptControl, 1)
        {
            ReadOnlyMask = byte.MaxValue,
            OnRead = stored => SwitchInterrupts(true, stored),
            OnWrite = (_, after, _) => SwitchInterrupts(false, after),
        },
        new("FILTERS ON / OFF", Idio16Registers.FilterControl, 1)
        {
            ReadOnlyMask = byte.MaxValue,
            OnRead = stored => SwitchFilters(true, stored),
            OnWrite = (_, after, _) => SwitchFilters(false, after),
        },
        new("OUT8-15", Idio16Registers.OutputsHigh, 1) { OnWrite = (_, _, _) => TakeOutputs() },
        new("IN8-15", Idio16Registers.InputsHigh, 1)
        {
            ReadOnlyMask = byte.MaxValue,
            OnRead = _ => (byte)(_inputs >> LinesPerPort),
        },
        new("IRQ STATUS", Idio16Registers.InterruptStatus, 1) { ReadOnlyMask = byte.MaxValue },
        new("FILTERS 0-7", Idio16Registers.FilterSelect, 1) { OnRead = stored => _allFilters ? AllFilters : stored },
    ];

    private void TakeOutputs()
    {
        var outputs = (int)(_registers[Idio16Registers.OutputsLow] | _registers[Idio16Registers.OutputsHigh] << LinesPerPort);
        if (outputs != _outputs)
        {
            _outputs = outputs;
            _announcer?.Record((ushort)outputs);
        }
    }

    private void ClearInterrupt()
    {
        _registers[Idio16Registers.InterruptStatus] = 0;
        DrivePin();
    }

    private ulong SwitchInterrupts(bool on, ulong stored)
    {
        _interruptsOn = on;
        DrivePin();
        return stored;
    }

    private ulong SwitchFilters(bool on, ulong stored)
    {
        _allFilters = on;
        if (!on)
        {
            _registers[Idio16Registers.FilterSelect] = 0;
        }

        return stored;
    }

    private void ChangeInput(int bit, bool value)
    {
        var inputs = value ? _inputs | bit : _inputs & ~bit;
        if (inputs == _inputs)
        {
            return;
        }

        _inputs = inputs;
        Interlocked.Increment(ref _changeEvents);
        if (_interruptsOn)
        {
            var half = BitOperations.Log2((uint)bit) < LinesPerPort ? Idio16Registers.StatusLow : Idio16Registers.StatusHigh;
            _registers[Idio16Registers.InterruptStatus] |= (byte)(half | Idio16Registers.StatusPending);
            DrivePin();
        }
    }

    private void DrivePin()
    {
        var high = _interruptsOn && (_registers[Idio16Registers.InterruptStatus] & Idio16Registers.StatusPending) != 0;
        if (high == _pinHigh)
        {
            return;
        }

        _pinHigh = high;
        if (high)
        {
            Interlocked.Increment(ref _interruptsRaised);
        }

        _port?.SetIntx(high);
    }
}
