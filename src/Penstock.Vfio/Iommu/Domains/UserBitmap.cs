using System.Runtime.InteropServices;
using Penstock.Interop;

namespace Penstock.Vfio;

/// <summary>A bitmap of 64-bit words in a caller's memory. Bits are set, never cleared.</summary>
internal sealed class UserBitmap(string what, IUserAddressSpace memory, ulong address)
{
    private const int WordBits = 64;
    private const int WordsAtOnce = 512;

    private readonly ulong[] _words = new ulong[WordsAtOnce];

    /// <summary>Sets bits.</summary>
    /// <exception cref="VfioException">EFAULT: the words are not there.</exception>
    public void Set(ulong first, ulong last)
    {
        for (ulong word = first / WordBits; word <= last / WordBits; word += WordsAtOnce)
        {
            int count = (int)Math.Min(WordsAtOnce, (last / WordBits) - word + 1);
            Span<ulong> words = _words.AsSpan(0, count);
            Span<byte> bytes = MemoryMarshal.AsBytes(words);
            ulong at = address + (word * sizeof(ulong));
            Check(memory.Read(at, bytes), at);
            for (int i = 0; i < count; i++)
            {
                ulong from = Math.Max(first, (word + (ulong)i) * WordBits);
                ulong to = Math.Min(last, ((word + (ulong)i) * WordBits) + (WordBits - 1));
                words[i] |= (ulong.MaxValue >> (int)(WordBits - 1 - (to - from))) << (int)(from % WordBits);
            }

            Check(memory.Write(at, bytes), at);
        }
    }

    private void Check(Errno errno, ulong at)
    {
        if (errno != Errno.None)
        {
            throw new VfioException(errno, what, $"the bitmap at 0x{at:x} cannot be changed");
        }
    }
}
