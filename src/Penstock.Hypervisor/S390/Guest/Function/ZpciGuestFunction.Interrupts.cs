using Penstock.Specs.Kvm;
using Penstock.Specs.Zpci;
using Penstock.Vfio;

namespace Penstock.Hypervisor;

/// <content>Interruptions: registered by the guest, delivered by the VMM or by firmware.</content>
public sealed partial class ZpciGuestFunction
{
    private AdapterIndicators? _indicators;
    private bool _isForwarded;
    private uint _interruptWord;
    private ulong _vectorAddress;
    private ulong _summaryAddress;
    private long _lost;

    /// <summary>Whether the guest has registered its interruptions.</summary>
    public bool HasInterrupts => Volatile.Read(ref _indicators) is not null || Volatile.Read(ref _isForwarded);

    /// <summary>Messages of the device that reached nobody: the function was not in use, or the guest has no such vector.</summary>
    public long LostMessages => Interlocked.Read(ref _lost);

    /// <summary>The device writes a message to the address of messages. Takes no lock of the function; waits for nobody.</summary>
    /// <param name="data">What it writes.</param>
    internal void Message(uint data)
    {
        if (State != ZpciFunctionState.Enabled || !Deliver((int)(data & ZpciLimits.MsiVectorMask)))
        {
            Interlocked.Increment(ref _lost);
        }
    }

    private bool Deliver(int vector) => Volatile.Read(ref _isForwarded)
        ? _device.Tie?.Function.Signal(vector) ?? false
        : Volatile.Read(ref _indicators)?.Deliver(vector) == Interop.Errno.None;

    private ZpciResult RegisterInterrupts(ulong register, in ZpciFib fib)
    {
        if (HasInterrupts)
        {
            return ZpciResult.Failed(register, ZpciStatus.SequenceError);
        }

        // The hypervisor's call has no place for an offset into the vector: better none than the wrong bits.
        var word = new ZpciInterruptWord(fib.InterruptWord);
        if (IsInterpreted && word.VectorOffset != 0)
        {
            return ZpciResult.Failed(register, ZpciStatus.ResourceNotAvailable);
        }

        try
        {
            if (IsInterpreted)
            {
                Forward(word, fib);
            }
            else
            {
                int subclass = word.Subclass;
                ZpciBus bus = _bus;
                var place = new AdapterIndicatorPlace(
                    fib.VectorAddress, word.VectorOffset, word.Interrupts, word.HasSummary ? fib.SummaryAddress : null, word.SummaryOffset);
                Volatile.Write(ref _indicators, new AdapterIndicators(bus.Machine.Memory, place, () => bus.Interrupt(subclass)));
            }
        }
        catch (VfioException)
        {
            return ZpciResult.Failed(register, IsInterpreted ? ZpciStatus.SequenceError : ZpciStatus.ResourceNotAvailable);
        }

        _interruptWord = word.Value;
        _vectorAddress = fib.VectorAddress;
        _summaryAddress = fib.SummaryAddress;
        return ZpciResult.Done(register);
    }

    private ZpciResult DeregisterInterrupts(ulong register)
    {
        if (!HasInterrupts)
        {
            return ZpciResult.Failed(register, ZpciStatus.SequenceError);
        }

        if (!_isForwarded)
        {
            ReleaseInterrupts();
            return ZpciResult.Done(register);
        }

        try
        {
            TakeBackForwarding();
        }
        catch (VfioException)
        {
            return ZpciResult.Failed(register, ZpciStatus.SequenceError);
        }

        ForgetInterrupts();
        return ZpciResult.Done(register);
    }

    /// <summary>Interpreted: the hypervisor lets firmware deliver, or delivers itself.</summary>
    private void Forward(ZpciInterruptWord word, in ZpciFib fib)
    {
        _bus.Machine.Zpci.Operate(new KvmS390ZpciOp
        {
            FunctionHandle = Handle,
            Operation = KvmS390ZpciOperation.RegisterAen,
            InterruptVector = fib.VectorAddress,
            SummaryBit = word.HasSummary ? fib.SummaryAddress : 0,
            Flags = _options.ForwardingAssist ? KvmS390ZpciAenFlags.None : KvmS390ZpciAenFlags.Host,
            Interrupts = (uint)word.Interrupts,
            Subclass = (byte)word.Subclass,
            SummaryBitOffset = (byte)word.SummaryOffset,
        });
        Volatile.Write(ref _isForwarded, true);
    }

    private void TakeBackForwarding() => _bus.Machine.Zpci.Operate(
        new KvmS390ZpciOp { FunctionHandle = Handle, Operation = KvmS390ZpciOperation.DeregisterAen });

    /// <summary>Takes all back, whatever state it is in. When this returns nothing is delivered any more by the VMM.</summary>
    private void ReleaseInterrupts()
    {
        if (Volatile.Read(ref _isForwarded))
        {
            try
            {
                TakeBackForwarding();
            }
            catch (VfioException e)
            {
                // The close of the device, if not its own doing already, takes back what is left.
                _bus.Log($"function 0x{FunctionId:x}: {e.Message}");
            }
        }

        Volatile.Read(ref _indicators)?.Dispose();
        ForgetInterrupts();
    }

    private void ForgetInterrupts()
    {
        Volatile.Write(ref _indicators, null);
        Volatile.Write(ref _isForwarded, false);
        _interruptWord = 0;
        _vectorAddress = 0;
        _summaryAddress = 0;
    }
}
