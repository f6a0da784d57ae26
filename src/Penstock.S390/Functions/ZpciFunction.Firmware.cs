using Penstock.Interop;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.S390;

/// <content>What the host asks of its firmware about the function.</content>
public sealed partial class ZpciFunction
{
    // Linux asks a hundred times, 20 ms apart, while firmware is busy with an enable, and without end with a modification. Here that ends too: locks are held.
    private const int MostBusyAnswers = 100;
    private static readonly TimeSpan BusyWait = TimeSpan.FromMilliseconds(20);

    private InterruptRegistration? _interrupts;
    private ulong? _registeredIota;
    private ZpciFib? _hostInterrupts;
    private (ulong First, ulong Last, ulong Iota)? _translation;

    /// <summary>
    /// The firmware that serves it; null when nothing of that is modelled, so that it has no interrupts of zPCI and can be nobody's but the host's.
    /// </summary>
    public ZpciFirmware? Firmware { get; init; }

    /// <summary>Whether interrupts are registered.</summary>
    public bool HasInterrupts => Volatile.Read(ref _interrupts) is not null;

    /// <summary>The registered designation of I/O tables; 0 for no translation, null when DMA is blocked.</summary>
    public ulong? Iota
    {
        get
        {
            lock (_gate)
            {
                return _registeredIota;
            }
        }
    }

    /// <summary>Disables it (CLP, set function); without effect when it is. Interrupts and translation go; when this returns none is delivered.</summary>
    /// <returns>None; EIO: firmware refused, and nothing has changed.</returns>
    public Errno Disable()
    {
        lock (_gate)
        {
            if ((_handle & ZpciHandle.Enabled) == 0)
            {
                _designation = 0;
                return Errno.None;
            }

            if (Ask(ZpciSetOperation.Disable) != ZpciClpResponse.Ok)
            {
                return Errno.EIO;
            }

            _handle &= ~ZpciHandle.Enabled;
            _designation = 0;
            _registeredIota = null;
            EndInterrupts();
            return Errno.None;
        }
    }

    /// <summary>Enables it (CLP, set function) under a new handle. The host's own registrations are not made; see <see cref="Reenable"/>.</summary>
    /// <param name="designation">The machine whose instructions firmware is to accept; 0 for none.</param>
    /// <returns>None; EIO: firmware refused, or it is enabled; nothing has changed.</returns>
    public Errno Enable(uint designation)
    {
        lock (_gate)
        {
            if ((_handle & ZpciHandle.Enabled) != 0 || Ask(ZpciSetOperation.Enable) != ZpciClpResponse.Ok)
            {
                return Errno.EIO;
            }

            uint instance = (_handle & ZpciHandle.InstanceMask) + ZpciHandle.InstanceStep;
            _handle = ZpciHandle.Enabled | (instance & ZpciHandle.InstanceMask) | (_handle & ZpciHandle.IndexMask);
            _designation = designation;
            return Errno.None;
        }
    }

    /// <summary>Enables it, then registers the host's interrupts again if any vector is in use, then the translation that it had.</summary>
    /// <param name="designation">As for <see cref="Enable"/>.</param>
    /// <returns>None; EIO: one of the three failed, and the function is disabled.</returns>
    public Errno Reenable(uint designation)
    {
        lock (_gate)
        {
            Errno errno = Enable(designation);
            if (errno != Errno.None)
            {
                return errno;
            }

            if ((_hostInterrupts is { } fib && Register(fib with { Designation = designation }).ConditionCode != ZpciConditionCode.Done)
                || (_translation is { } t && !RegisterIoat(t.First, t.Last, t.Iota).IsRegistered))
            {
                Disable();
                return Errno.EIO;
            }

            return Errno.None;
        }
    }

    /// <summary>From now on the host treats it as nobody's, whatever firmware knows.</summary>
    public void ForgetDesignation()
    {
        lock (_gate)
        {
            _designation = 0;
        }
    }

    /// <summary>The host begins to use vectors itself; they are registered again whenever the function is enabled anew.</summary>
    /// <param name="fib">Where the host wants them.</param>
    /// <returns>None; EIO: firmware refused.</returns>
    public Errno UseHostInterrupts(in ZpciFib fib)
    {
        lock (_gate)
        {
            if (Register(fib).ConditionCode != ZpciConditionCode.Done)
            {
                return Errno.EIO;
            }

            _hostInterrupts = fib;
            return Errno.None;
        }
    }

    /// <summary>The host uses vectors no more.</summary>
    public void EndHostInterrupts()
    {
        lock (_gate)
        {
            _hostInterrupts = null;
            DeregisterInterrupts();
        }
    }

    /// <summary>MPCIFC, register interrupts.</summary>
    /// <param name="fib">Where and for whom. Addresses are absolute: in the host's storage, or pinned.</param>
    /// <returns>The answer; status 24 when some are registered.</returns>
    public ZpciAnswer RegisterInterrupts(in ZpciFib fib)
    {
        lock (_gate)
        {
            return Register(fib);
        }
    }

    /// <summary>MPCIFC, deregister interrupts. When it is done none is being delivered, and none will be.</summary>
    /// <returns>The answer; status 24 when none are registered.</returns>
    public ZpciAnswer DeregisterInterrupts()
    {
        lock (_gate)
        {
            if (Refused(ZpciModifyOperation.DeregisterInterrupts) is { } answer)
            {
                return answer;
            }

            if (_interrupts is null)
            {
                return new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError);
            }

            EndInterrupts();
            return ZpciAnswer.Done;
        }
    }

    /// <summary>
    /// Cuts the way of interrupts that firmware did not want to deregister, so that memory behind them can go. When this returns none is being
    /// delivered; for firmware they stay registered.
    /// </summary>
    public void CutInterrupts()
    {
        lock (_gate)
        {
            _interrupts?.Gate.Close();
        }
    }

    /// <summary>MPCIFC, register I/O address translation. It is registered again whenever the function is enabled anew.</summary>
    /// <param name="first">First DMA address.</param>
    /// <param name="last">Last DMA address.</param>
    /// <param name="iota">Designation of the tables; 0 for no translation.</param>
    /// <returns>The answer; status 24 when one is registered.</returns>
    public ZpciAnswer RegisterIoat(ulong first, ulong last, ulong iota)
    {
        lock (_gate)
        {
            ZpciAnswer answer = Refused(ZpciModifyOperation.RegisterIoat)
                ?? (_registeredIota is null ? ZpciAnswer.Done : new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError));
            if (answer.ConditionCode == ZpciConditionCode.Done)
            {
                _registeredIota = iota;
            }

            if (answer.IsRegistered)
            {
                _translation = (first, last, iota);
            }

            return answer;
        }
    }

    /// <summary>MPCIFC, deregister I/O address translation.</summary>
    /// <returns>The answer; status 24 when none is registered.</returns>
    public ZpciAnswer DeregisterIoat()
    {
        lock (_gate)
        {
            _translation = null;
            if (Refused(ZpciModifyOperation.DeregisterIoat) is { } answer)
            {
                return answer;
            }

            bool was = _registeredIota is not null;
            _registeredIota = null;
            return was ? ZpciAnswer.Done : new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError);
        }
    }

    /// <summary>
    /// The function sends a message: firmware sets the vector's bit and tells the guest, or the host. Takes no lock, waits for nobody and allocates
    /// nothing; may be called from any thread.
    /// </summary>
    /// <param name="vector">Number of the vector.</param>
    /// <returns>Whether it is registered.</returns>
    public bool Signal(int vector)
    {
        InterruptRegistration? to = Volatile.Read(ref _interrupts);
        if (to is null || !to.Gate.TryEnter())
        {
            return false;
        }

        try
        {
            return Firmware!.Deliver(to, vector);
        }
        finally
        {
            to.Gate.Leave();
        }
    }

    private ZpciAnswer Register(in ZpciFib fib)
    {
        if (Refused(ZpciModifyOperation.RegisterInterrupts) is { } answer)
        {
            return answer;
        }

        if (_interrupts is not null)
        {
            return new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.SequenceError);
        }

        if (Firmware is null || fib.VectorAddress == 0)
        {
            return new ZpciAnswer(ZpciConditionCode.Error, ZpciStatus.ResourceNotAvailable);
        }

        Volatile.Write(ref _interrupts, new InterruptRegistration(Firmware, fib));
        return ZpciAnswer.Done;
    }

    private void EndInterrupts()
    {
        InterruptRegistration? ended = _interrupts;
        Volatile.Write(ref _interrupts, null);
        ended?.Gate.Close();
    }

    private ZpciClpResponse Ask(ZpciSetOperation operation)
    {
        for (int asked = 0; ; asked++)
        {
            ZpciClpResponse response = Firmware?.SetFault?.Invoke(this, operation) ?? ZpciClpResponse.Ok;
            if (response != ZpciClpResponse.Busy || asked == MostBusyAnswers)
            {
                return response;
            }

            Thread.Sleep(BusyWait);
        }
    }

    private ZpciAnswer? Refused(ZpciModifyOperation operation)
    {
        if ((_handle & ZpciHandle.Enabled) == 0)
        {
            return new ZpciAnswer(ZpciConditionCode.InvalidHandle);
        }

        for (int asked = 0; ; asked++)
        {
            ZpciAnswer? answer = Firmware?.ModifyFault?.Invoke(this, operation);
            if (answer is not { ConditionCode: ZpciConditionCode.Busy } || asked == MostBusyAnswers)
            {
                return answer;
            }

            Thread.Sleep(1);
        }
    }
}
