using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <content>
/// The guest's instructions as intercepts: arguments are what the registers hold, storage operands are guest addresses, and results are values. No
/// register content, and nothing in the guest's memory, makes them throw.
/// </content>
public sealed partial class ZpciBus
{
    private const int SubclassShift = 27;
    private const int SubclassMask = 7;
    private const ulong ModeMask = 0xffff;

    /// <summary>PCILG: loads from a BAR or from configuration space.</summary>
    /// <param name="r2">Number of the register with the request; must be even.</param>
    /// <param name="request">What it holds: handle, address space, length.</param>
    /// <param name="offset">What the register after it holds.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended, with the value, right aligned.</returns>
    public ZpciResult Load(int r2, ulong request, ulong offset, bool problemState = false) =>
        TryEnter(r2, request, problemState, out ZpciGuestFunction? function, out ZpciResult refused)
            ? function!.Load(new ZpciRegister(request), offset)
            : refused;

    /// <summary>PCISTG: stores to a BAR or to configuration space.</summary>
    /// <param name="r2">Number of the register with the request; must be even.</param>
    /// <param name="request">What it holds: handle, address space, length.</param>
    /// <param name="offset">What the register after it holds.</param>
    /// <param name="value">What r1 holds: the value, right aligned.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult Store(int r2, ulong request, ulong offset, ulong value, bool problemState = false) =>
        TryEnter(r2, request, problemState, out ZpciGuestFunction? function, out ZpciResult refused)
            ? function!.Store(new ZpciRegister(request), offset, value)
            : refused;

    /// <summary>PCISTB: stores a block of doublewords to a BAR.</summary>
    /// <param name="request">What r1 holds: handle, address space, length.</param>
    /// <param name="offset">What r3 holds.</param>
    /// <param name="operand">Guest address of the block.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult StoreBlock(ulong request, ulong offset, ulong operand, bool problemState = false)
    {
        if (!TryEnter(0, request, problemState, out ZpciGuestFunction? function, out ZpciResult refused))
        {
            return refused;
        }

        var register = new ZpciRegister(request);
        if (!function!.BeginBlock(register, offset, operand, out refused))
        {
            return refused;
        }

        Span<byte> block = stackalloc byte[register.AccessLength & ZpciRegister.BlockLengthMask];
        return Machine.Memory.Read(operand, block) == Errno.None
            ? function.StoreBlock(register, offset, block)
            : ZpciResult.Interrupted(request, ZpciProgramException.Addressing);
    }

    /// <summary>RPCIT: the guest has changed its I/O tables.</summary>
    /// <param name="r2">Number of the register with the first address; must be even.</param>
    /// <param name="request">What r1 holds: the handle.</param>
    /// <param name="start">What r2 holds: the first address.</param>
    /// <param name="length">What the register after it holds: the length in bytes.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult Refresh(int r2, ulong request, ulong start, ulong length, bool problemState = false)
    {
        if (Precheck(r2, request, problemState, out ZpciResult refused))
        {
            return refused;
        }

        var register = new ZpciRegister(request);
        return Find(register.Handle)?.Refresh(register, start, length) ?? ZpciResult.InvalidHandle(request);
    }

    /// <summary>MPCIFC: modifies what a function does.</summary>
    /// <param name="request">What r1 holds: handle, DMA address space, operation.</param>
    /// <param name="operand">Guest address of the function information block.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult ModifyControls(ulong request, ulong operand, bool problemState = false)
    {
        if (Precheck(0, request, problemState, out ZpciResult refused))
        {
            return refused;
        }

        if (operand % ZpciFib.Alignment != 0)
        {
            return ZpciResult.Interrupted(request, ZpciProgramException.Specification);
        }

        var register = new ZpciRegister(request);
        if (Find(register.Handle) is not { } function
            || function.State is ZpciFunctionState.Reserved or ZpciFunctionState.Standby or ZpciFunctionState.Disabled or ZpciFunctionState.PermanentError)
        {
            return ZpciResult.InvalidHandle(request);
        }

        Span<byte> block = stackalloc byte[ZpciFib.Length];
        if (Machine.Memory.Read(operand, block) != Errno.None)
        {
            return ZpciResult.Interrupted(request, ZpciProgramException.Addressing);
        }

        ZpciFib fib = ZpciFib.Read(block);
        return fib.Format == ZpciFib.AdapterInterrupts
            ? function.Modify(register, fib)
            : ZpciResult.Interrupted(request, ZpciProgramException.Operand);
    }

    /// <summary>STPCIFC: stores what a function does.</summary>
    /// <param name="request">What r1 holds: handle, DMA address space.</param>
    /// <param name="operand">Guest address of the function information block.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult StoreControls(ulong request, ulong operand, bool problemState = false)
    {
        if (Precheck(0, request, problemState, out ZpciResult refused))
        {
            return refused;
        }

        var register = new ZpciRegister(request);
        if (register.Space != 0)
        {
            return ZpciResult.Failed(request, ZpciStatus.DmaSpaceInvalid);
        }

        if (operand % ZpciFib.Alignment != 0)
        {
            return ZpciResult.Interrupted(request, ZpciProgramException.Specification);
        }

        // By its index alone: a guest may ask with a handle from before.
        if (At((int)(register.Handle & ZpciHandle.IndexMask)) is not { } function)
        {
            return ZpciResult.InvalidHandle(request);
        }

        ZpciResult result = function.StoreControls(register, out ZpciFib fib);
        if (result.ConditionCode != ZpciConditionCode.Done)
        {
            return result;
        }

        Span<byte> block = stackalloc byte[ZpciFib.Length];
        fib.Write(block);
        return Machine.Memory.Write(operand, block) == Errno.None ? result : ZpciResult.Interrupted(request, ZpciProgramException.Addressing);
    }

    /// <summary>CLP: lists, describes and switches functions. The request's block is copied once; the answer goes behind it.</summary>
    /// <param name="operand">What r2 holds: guest address of the block.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult CallLogicalProcessor(ulong operand, bool problemState = false) =>
        Precheck(0, operand, problemState, out ZpciResult refused) ? refused : new ZpciClp(this).Call(operand);

    /// <summary>SIC: says which adapter interruptions of a subclass the guest wants.</summary>
    /// <param name="control">What r1 holds: the mode.</param>
    /// <param name="subclass">What r3 holds: the subclass.</param>
    /// <param name="problemState">Whether the processor is in the problem state.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult SetInterruptionControls(ulong control, ulong subclass, bool problemState = false)
    {
        if (!Options.InterruptionSuppression)
        {
            return ZpciResult.Interrupted(control, ZpciProgramException.Operation);
        }

        if (Precheck(0, control, problemState, out ZpciResult refused))
        {
            return refused;
        }

        var mode = (ZpciInterruptionControl)(control & ModeMask);
        int number = (int)(subclass >> SubclassShift) & SubclassMask;
        if (!_suppression.TrySet(number, mode))
        {
            return ZpciResult.Interrupted(control, ZpciProgramException.Operand);
        }

        // What firmware delivers goes by the mode in the interruption state area.
        if (Machine.Gisa is { HasModes: true } gisa)
        {
            gisa.SetMode(number, mode);
        }

        return ZpciResult.Done(control);
    }

    /// <summary>The function with exactly this handle.</summary>
    internal ZpciGuestFunction? Find(uint handle) => At((int)(handle & ZpciHandle.IndexMask)) is { } function && function.Handle == handle ? function : null;

    internal ZpciGuestFunction? At(int index)
    {
        ZpciGuestFunction?[] byIndex = Volatile.Read(ref _byIndex);
        return index < byIndex.Length ? byIndex[index] : null;
    }

    /// <summary>What comes before everything else.</summary>
    /// <returns>Whether it ends the instruction.</returns>
    private static bool Precheck(int even, ulong request, bool problemState, out ZpciResult refused)
    {
        refused = problemState
            ? ZpciResult.Interrupted(request, ZpciProgramException.PrivilegedOperation)
            : (even & 1) != 0 ? ZpciResult.Interrupted(request, ZpciProgramException.Specification) : default;
        return refused.Exception != ZpciProgramException.None;
    }

    /// <summary>Loads and stores: the function, which must be named with its enable bit.</summary>
    private bool TryEnter(int even, ulong request, bool problemState, out ZpciGuestFunction? function, out ZpciResult refused)
    {
        function = null;
        if (Precheck(even, request, problemState, out refused))
        {
            return false;
        }

        uint handle = new ZpciRegister(request).Handle;
        function = (handle & ZpciHandle.Enabled) == 0 ? null : Find(handle);
        refused = ZpciResult.InvalidHandle(request);
        return function is not null;
    }
}
