using System.Buffers.Binary;
using System.Numerics;

namespace Penstock.S390;

/// <summary>
/// Indicator bits of zPCI in memory that others use at the same time: bit 0 is the most significant one of the first byte. Nothing here takes a
/// lock or allocates.
/// </summary>
public static unsafe class IndicatorBits
{
    private const int BitsOfByte = 8;
    private const int BitsOfWord = 64;
    private const int WordLength = 8;

    /// <summary>Sets a bit.</summary>
    /// <param name="address">Address of the first byte in this process. The aligned four bytes around the bit must be there.</param>
    /// <param name="bit">Number of the bit.</param>
    /// <returns>Whether it was set before.</returns>
    public static bool TestAndSet(nint address, uint bit)
    {
        // SAFETY: the caller answers for the word around the bit.
        uint mask = Locate(address, bit, out uint* word);
        return (Interlocked.Or(ref *word, mask) & mask) != 0;
    }

    /// <summary>Clears a bit; as <see cref="TestAndSet"/>.</summary>
    /// <param name="address">Address of the first byte in this process.</param>
    /// <param name="bit">Number of the bit.</param>
    /// <returns>Whether it was set before.</returns>
    public static bool TestAndClear(nint address, uint bit)
    {
        // SAFETY: the caller answers for the word around the bit.
        uint mask = Locate(address, bit, out uint* word);
        return (Interlocked.And(ref *word, ~mask) & mask) != 0;
    }

    /// <summary>Looks at a bit; as <see cref="TestAndSet"/>.</summary>
    /// <param name="address">Address of the first byte in this process.</param>
    /// <param name="bit">Number of the bit.</param>
    /// <returns>Whether it is set.</returns>
    public static bool Test(nint address, uint bit)
    {
        // SAFETY: the caller answers for the word around the bit.
        uint mask = Locate(address, bit, out uint* word);
        return (Volatile.Read(ref *word) & mask) != 0;
    }

    /// <summary>Takes the first set bit from a place on: it is clear afterwards, and nobody else gets the same one.</summary>
    /// <param name="address">Address of the first byte in this process, a multiple of 8.</param>
    /// <param name="from">First bit to look at.</param>
    /// <param name="end">Number of bits, a multiple of 64.</param>
    /// <returns>Number of the bit; -1 when none is set.</returns>
    public static int TakeNext(nint address, int from, int end)
    {
        for (int at = from; at < end;)
        {
            // SAFETY: below the end, which the caller answers for.
            ulong word = Volatile.Read(ref *(ulong*)(address + (at / BitsOfWord * WordLength)));
            word = BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(word) : word;
            word &= ulong.MaxValue >> (at % BitsOfWord);
            if (word == 0)
            {
                at = (at / BitsOfWord * BitsOfWord) + BitsOfWord;
                continue;
            }

            at = (at / BitsOfWord * BitsOfWord) + BitOperations.LeadingZeroCount(word);
            if (TestAndClear(address, (uint)at))
            {
                return at;
            }
        }

        return -1;
    }

    private static uint Locate(nint address, uint bit, out uint* word)
    {
        nint at = address + (nint)(bit / BitsOfByte);
        word = (uint*)(at & ~3);
        int index = (int)(at & 3) * BitsOfByte;
        uint mask = 0x80u >> (int)(bit % BitsOfByte);
        return mask << (BitConverter.IsLittleEndian ? index : 24 - index);
    }
}
