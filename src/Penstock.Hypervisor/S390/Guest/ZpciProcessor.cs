using System.Buffers.Binary;
using Penstock.Interop;
using Penstock.Specs.Zpci;

namespace Penstock.Hypervisor;

/// <summary>
/// What a processor does with a guest's loads and stores: firmware serves those of an interpreted function by itself, all others leave the guest
/// and come to the VMM. A handle with a bit of the hypervisor's mask is never firmware's. May be used from any thread; firmware's part takes
/// no lock and allocates nothing.
/// </summary>
/// <param name="bus">The guest's functions.</param>
public sealed class ZpciProcessor(ZpciBus bus)
{
    private long _interpreted;
    private long _exits;

    /// <summary>How many loads and stores firmware served without an exit.</summary>
    public long Interpreted => Interlocked.Read(ref _interpreted);

    /// <summary>How many loads and stores left the guest.</summary>
    public long Exits => Interlocked.Read(ref _exits);

    /// <summary>Executes PCILG; see <see cref="ZpciBus.Load"/>.</summary>
    /// <param name="r2">Number of the register with the request.</param>
    /// <param name="request">What it holds.</param>
    /// <param name="offset">What the register after it holds.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult Load(int r2, ulong request, ulong offset)
    {
        if (!IsFirmwares(r2, request, offset, out ZpciGuestFunction? function))
        {
            Interlocked.Increment(ref _exits);
            return bus.Load(r2, request, offset);
        }

        var register = new ZpciRegister(request);
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        bytes.Clear();
        if (!function!.Device.TryReadDirectly(register.Space, offset, bytes[..register.AccessLength]))
        {
            return ZpciResult.Interrupted(request, ZpciProgramException.Operand);
        }

        Interlocked.Increment(ref _interpreted);
        return ZpciResult.Done(request) with { Value = BinaryPrimitives.ReadUInt64BigEndian(bytes) >> ((sizeof(ulong) - register.AccessLength) * 8) };
    }

    /// <summary>Executes PCISTG; see <see cref="ZpciBus.Store"/>.</summary>
    /// <param name="r2">Number of the register with the request.</param>
    /// <param name="request">What it holds.</param>
    /// <param name="offset">What the register after it holds.</param>
    /// <param name="value">What r1 holds.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult Store(int r2, ulong request, ulong offset, ulong value)
    {
        if (!IsFirmwares(r2, request, offset, out ZpciGuestFunction? function))
        {
            Interlocked.Increment(ref _exits);
            return bus.Store(r2, request, offset, value);
        }

        var register = new ZpciRegister(request);
        Span<byte> bytes = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(bytes, value);
        if (!function!.Device.TryWriteDirectly(register.Space, offset, bytes[(sizeof(ulong) - register.AccessLength)..]))
        {
            return ZpciResult.Interrupted(request, ZpciProgramException.Operand);
        }

        Interlocked.Increment(ref _interpreted);
        return ZpciResult.Done(request);
    }

    /// <summary>Executes PCISTB; see <see cref="ZpciBus.StoreBlock"/>.</summary>
    /// <param name="request">What r1 holds.</param>
    /// <param name="offset">What r3 holds.</param>
    /// <param name="operand">Guest address of the block.</param>
    /// <returns>How it ended.</returns>
    public ZpciResult StoreBlock(ulong request, ulong offset, ulong operand)
    {
        var register = new ZpciRegister(request);
        int length = register.AccessLength & ZpciRegister.BlockLengthMask;

        // For firmware a block is doublewords one after another; what is wrong with a block is the VMM's to say.
        if (!IsFirmwares(0, (new ZpciRegister(request) with { AccessLength = sizeof(ulong) }).Value, offset, out ZpciGuestFunction? function)
            || !function!.IsBlockPossible(register, offset, operand))
        {
            Interlocked.Increment(ref _exits);
            return bus.StoreBlock(request, offset, operand);
        }

        Span<byte> block = stackalloc byte[length];
        if (bus.Machine.Memory.Read(operand, block) != Errno.None)
        {
            return ZpciResult.Interrupted(request, ZpciProgramException.Addressing);
        }

        for (int at = 0; at < length; at += sizeof(ulong))
        {
            if (!function.Device.TryWriteDirectly(register.Space, offset + (ulong)at, block.Slice(at, sizeof(ulong))))
            {
                return ZpciResult.Interrupted(request, ZpciProgramException.Operand);
            }
        }

        Interlocked.Increment(ref _interpreted);
        return ZpciResult.Done(request);
    }

    /// <summary>
    /// Whether firmware accepts it: the host's handle, enabled with the machine's designation, a BAR, and an access that is possible. What it
    /// does not accept leaves the guest, and the VMM says what is wrong.
    /// </summary>
    private bool IsFirmwares(int r2, ulong request, ulong offset, out ZpciGuestFunction? function)
    {
        var register = new ZpciRegister(request);
        function = null;
        if ((register.Handle & (ZpciHandle.Enabled | ZpciHandle.HypervisorMask)) != ZpciHandle.Enabled
            || (r2 & 1) != 0
            || register.Space > ZpciRegister.LastBar
            || register.AccessLength == 0
            || register.AccessLength > sizeof(ulong) - (int)(offset & (sizeof(ulong) - 1)))
        {
            return false;
        }

        function = bus.Find(register.Handle);
        return function is { State: ZpciFunctionState.Enabled or ZpciFunctionState.Blocked } found
            && found.Device.Tie is { } tie
            && tie.Function.Handle == register.Handle
            && tie.Function.Designation == bus.Machine.Gisa?.Designation;
    }
}
