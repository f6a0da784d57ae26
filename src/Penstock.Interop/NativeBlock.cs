using System.Runtime.InteropServices;

namespace Penstock.Interop;

/// <summary>
/// Blocks of native memory that a ledger counts (<see cref="ResourceKind.NativeBlock"/>). Whoever allocates one keeps the pointer and frees it once, after its
/// last use. Members may be called from any thread.
/// </summary>
public static unsafe class NativeBlock
{
    /// <summary>Allocates items, all zeroes.</summary>
    /// <typeparam name="T">What an item is.</typeparam>
    /// <param name="count">How many.</param>
    /// <param name="ledger">Where the block is counted; null: nowhere.</param>
    /// <returns>The first item; aligned as an item needs it, up to 16 bytes.</returns>
    /// <exception cref="OutOfMemoryException">There is no such memory.</exception>
    public static T* Allocate<T>(nuint count, ResourceLedger? ledger)
        where T : unmanaged
    {
        // SAFETY: the caller's, who frees it and keeps his indices below the count.
        var block = (T*)NativeMemory.AllocZeroed(count, (nuint)sizeof(T));
        ledger?.Acquired(ResourceKind.NativeBlock);
        return block;
    }

    /// <summary>Frees a block that is there, and forgets it; without effect when it is null.</summary>
    /// <typeparam name="T">What an item is.</typeparam>
    /// <param name="block">What <see cref="Allocate"/> returned; null afterwards.</param>
    /// <param name="ledger">Where it was counted.</param>
    public static void Free<T>(ref T* block, ResourceLedger? ledger)
        where T : unmanaged
    {
        if (block == null)
        {
            return;
        }

        // SAFETY: the caller's, and nobody uses it any more.
        NativeMemory.Free(block);
        block = null;
        ledger?.Released(ResourceKind.NativeBlock);
    }
}
