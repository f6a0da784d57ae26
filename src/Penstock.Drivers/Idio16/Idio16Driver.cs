using Penstock.Interop;
using Penstock.Specs.Idio16;
using Penstock.Specs.Pci;
using Penstock.Specs.Vfio;
using Penstock.Vfio;

namespace Penstock.Drivers;

/// <summary>
/// Drives an ACCES PCI-IDIO-16 card: 16 outputs, 16 isolated inputs, an interrupt when an input changes. Lines have the card's numbers, 0 to 15.
/// All members may be called from any thread; control errors are <see cref="VfioException"/>s.
/// </summary>
public sealed class Idio16Driver : IDisposable
{
    /// <summary>Lines of each direction.</summary>
    public const int Lines = 16;

    private const int LinesPerPort = 8;

    private readonly AssignedDevice _device;
    private readonly EventWatch _watch;
    private readonly Lock _outputsGate = new();
    private readonly Lock _waitersGate = new();
    private readonly List<Waiter> _waiters = [];
    private ushort _outputs;
    private long _changes;
    private Exception? _failure;
    private bool _disposed;

    /// <summary>Takes over a card: its outputs keep their levels, interrupts are switched on.</summary>
    /// <param name="device">The card; it stays the caller's, who disposes it after the driver.</param>
    /// <exception cref="VfioException">ENODEV: it is another device; the device's own errors.</exception>
    public Idio16Driver(AssignedDevice device)
    {
        ArgumentNullException.ThrowIfNull(device);
        _device = device;
        if ((device.VendorId, device.DeviceId) != (Idio16Registers.VendorId, Idio16Registers.DeviceId))
        {
            throw new VfioException(Errno.ENODEV, $"driving {device.Name}", $"it is {device.VendorId:x4}:{device.DeviceId:x4} and no PCI-IDIO-16 ({Idio16Registers.VendorId:x4}:{Idio16Registers.DeviceId:x4})");
        }

        device.SetCommand(PciCommand.Io);
        Out(Idio16Registers.InterruptControl, 0);
        _outputs = (ushort)(In(Idio16Registers.OutputsLow) | (In(Idio16Registers.OutputsHigh) << LinesPerPort));
        EventDescriptor pin = EventDescriptor.Create(device.Memory.Host.Ledger);
        try
        {
            device.BindInterrupts(VfioIrqs.Intx, pin);
            _watch = new EventWatcher($"idio-16 {device.Name}", device.Memory.Host.Ledger).Watch(pin, _ => Service());
        }
        catch
        {
            pin.Dispose();
            throw;
        }

        try
        {
            Out(Idio16Registers.InputsLowClearInterrupt, 0);
            In(Idio16Registers.InterruptControl);
        }
        catch
        {
            _watch.Dispose();
            throw;
        }
    }

    /// <summary>Levels of the inputs now, bit 0 for input 0.</summary>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public ushort Inputs => (ushort)(In(Idio16Registers.InputsLowClearInterrupt) | (In(Idio16Registers.InputsHigh) << LinesPerPort));

    /// <summary>Levels of the outputs, bit 0 for output 0. Setting writes the ports whose levels change.</summary>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public ushort Outputs
    {
        get
        {
            lock (_outputsGate)
            {
                return _outputs;
            }
        }

        set
        {
            lock (_outputsGate)
            {
                SetOutputs(value);
            }
        }
    }

    /// <summary>How many times the card has said that inputs changed.</summary>
    public long Changes => Interlocked.Read(ref _changes);

    /// <summary>Level of an input now.</summary>
    /// <param name="line">0 to 15.</param>
    /// <returns>Whether it is energised.</returns>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public bool GetInput(int line) => (Inputs & Bit(line)) != 0;

    /// <summary>Drives an output.</summary>
    /// <param name="line">0 to 15.</param>
    /// <param name="value">Its level.</param>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public void SetOutput(int line, bool value)
    {
        int bit = Bit(line);
        lock (_outputsGate)
        {
            SetOutputs((ushort)(value ? _outputs | bit : _outputs & ~bit));
        }
    }

    /// <summary>Switches the filters of all inputs.</summary>
    /// <param name="on">Whether short pulses are filtered out.</param>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public void SetFilters(bool on)
    {
        if (on)
        {
            In(Idio16Registers.FilterControl);
        }
        else
        {
            Out(Idio16Registers.FilterControl, 0);
        }
    }

    /// <summary>
    /// Waits until the card has said more often than a number that inputs changed. Whoever passes the <see cref="Idio16InputChange.Number"/> of the
    /// last change, or <see cref="Changes"/> from before looking at the inputs, misses none.
    /// </summary>
    /// <param name="after">The number.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>The latest change.</returns>
    /// <exception cref="OperationCanceledException">The wait was ended.</exception>
    /// <exception cref="ObjectDisposedException">The driver was disposed meanwhile.</exception>
    /// <exception cref="VfioException">The device failed meanwhile.</exception>
    public Task<Idio16InputChange> WaitForChangeAsync(long after, CancellationToken cancellation = default)
    {
        var waiter = new Waiter(after);
        lock (_waitersGate)
        {
            ObjectDisposedException.ThrowIf(_disposed, this);
            if (_failure is { } failure)
            {
                return Task.FromException<Idio16InputChange>(failure);
            }

            if (_changes <= after)
            {
                _waiters.Add(waiter);
                if (cancellation.CanBeCanceled)
                {
                    waiter.Registration = cancellation.UnsafeRegister((w, token) => Cancel((Waiter)w!, token), waiter);
                }

                return waiter.Source.Task;
            }
        }

        return Task.FromResult(new Idio16InputChange(Changes, Inputs));
    }

    /// <summary>Waits until the inputs are as a condition wants them.</summary>
    /// <param name="condition">Says of the levels, bit 0 for input 0, whether to end.</param>
    /// <param name="cancellation">Ends the wait.</param>
    /// <returns>The levels.</returns>
    /// <exception cref="OperationCanceledException">The wait was ended.</exception>
    /// <exception cref="VfioException">The device's own errors.</exception>
    public async Task<ushort> WaitForInputsAsync(Func<ushort, bool> condition, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(condition);
        long seen = Changes;
        ushort inputs = Inputs;
        while (!condition(inputs))
        {
            (seen, inputs) = await WaitForChangeAsync(seen, cancellation).ConfigureAwait(false);
        }

        return inputs;
    }

    /// <summary>Switches interrupts off. Outputs keep their levels until the device is closed. Waits end with an exception.</summary>
    public void Dispose()
    {
        lock (_waitersGate)
        {
            if (_disposed)
            {
                return;
            }

            _disposed = true;
        }

        try
        {
            Out(Idio16Registers.InterruptControl, 0);
            _device.ReleaseInterrupts(VfioIrqs.Intx);
        }
        catch (VfioException)
        {
            // The device has gone; there is nothing to switch off.
        }

        _watch.Dispose();
        End(new ObjectDisposedException(nameof(Idio16Driver)));
    }

    /// <summary>On the watcher's thread: the card's interrupt is a level, masked when it signals.</summary>
    private void Service()
    {
        try
        {
            if ((In(Idio16Registers.InterruptStatus) & Idio16Registers.StatusPending) != 0)
            {
                // Cleared before the inputs are read: what changes from here on interrupts anew.
                Out(Idio16Registers.InputsLowClearInterrupt, 0);
                var change = new Idio16InputChange(Interlocked.Increment(ref _changes), Inputs);
                Take(w => w.After < change.Number).ForEach(w => w.Source.TrySetResult(change));
            }

            _device.UnmaskPin();
        }
        catch (VfioException e)
        {
            lock (_waitersGate)
            {
                if (_disposed)
                {
                    return;
                }

                _failure = e;
            }

            End(e);
        }
    }

    private void End(Exception why) => Take(static _ => true).ForEach(w => w.Source.TrySetException(why));

    private List<Waiter> Take(Predicate<Waiter> which)
    {
        List<Waiter> taken;
        lock (_waitersGate)
        {
            taken = _waiters.FindAll(which);
            _waiters.RemoveAll(which);
        }

        taken.ForEach(static w => w.Registration.Dispose());
        return taken;
    }

    private void Cancel(Waiter waiter, CancellationToken token)
    {
        lock (_waitersGate)
        {
            _waiters.Remove(waiter);
        }

        waiter.Source.TrySetCanceled(token);
    }

    private void SetOutputs(ushort value)
    {
        if ((byte)value != (byte)_outputs)
        {
            Out(Idio16Registers.OutputsLow, (byte)value);
        }

        if (value >> LinesPerPort != _outputs >> LinesPerPort)
        {
            Out(Idio16Registers.OutputsHigh, (byte)(value >> LinesPerPort));
        }

        _outputs = value;
    }

    private static int Bit(int line)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(line);
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(line, Lines);
        return 1 << line;
    }

    private byte In(ulong port) => _device.Read8(Idio16Registers.BarIndex, port);

    private void Out(ulong port, byte value) => _device.Write8(Idio16Registers.BarIndex, port, value);

    private sealed class Waiter(long after)
    {
        public long After { get; } = after;

        public TaskCompletionSource<Idio16InputChange> Source { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public CancellationTokenRegistration Registration { get; set; }
    }
}
