using Penstock.Interop;
using Penstock.Vfio;

namespace Penstock.S390;

/// <summary>
/// The real addresses that page entries hold, and the users' memory behind them: each piece has a bank of 2^40 addresses, named by the upper bits.
/// Bank 0 stays empty, because no entry can name page 0. Looking one up takes no lock and is safe inside a scope in which an entry with it was found.
/// </summary>
internal sealed class RealAddresses
{
    /// <summary>Largest piece of memory that can have real addresses.</summary>
    public const ulong BankSize = 1ul << BankShift;

    private const int BankShift = 40;
    private const int MostBanks = 1 << (64 - BankShift);

    private readonly Lock _gate = new();
    private readonly Stack<int> _free = new();
    private RealBank?[] _banks = new RealBank?[8];
    private int _used = 1;
    private int _count;

    /// <summary>How many pieces there are.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>The bank of a real address that is in a page entry.</summary>
    public RealBank At(ulong real) => Volatile.Read(ref _banks)[real >> BankShift]!;

    /// <summary>As <see cref="At"/>, for who is not in a scope: the entry may have gone meanwhile.</summary>
    public RealBank? Find(ulong real)
    {
        RealBank?[] banks = Volatile.Read(ref _banks);
        ulong index = real >> BankShift;
        return index < (ulong)banks.Length ? Volatile.Read(ref banks[index]) : null;
    }

    /// <summary>Gives memory real addresses; takes a reference on it.</summary>
    /// <returns>Whether an address was free.</returns>
    public bool TryAdd(RealBank bank)
    {
        lock (_gate)
        {
            if (!_free.TryPop(out int index))
            {
                if (_used == MostBanks)
                {
                    return false;
                }

                index = _used;
                if (index == _banks.Length)
                {
                    RealBank?[] larger = new RealBank?[index * 2];
                    Array.Copy(_banks, larger, index);
                    Volatile.Write(ref _banks, larger);
                }

                _used++;
            }

            bank.Base = (ulong)index << BankShift;
            bank.Memory.Hold();
            Volatile.Write(ref _banks[index], bank);
            _count++;
            return true;
        }
    }

    /// <summary>Takes the addresses back that no entry has any more, and gives the reference back.</summary>
    public void Remove(RealBank bank)
    {
        lock (_gate)
        {
            int index = (int)(bank.Base >> BankShift);
            Volatile.Write(ref _banks[index], null);
            _free.Push(index);
            _count--;
        }

        bank.Memory.Release();
    }

    /// <summary>Takes everything back; no entry is left.</summary>
    public void Clear()
    {
        RealBank?[] banks;
        lock (_gate)
        {
            banks = _banks;
            _banks = new RealBank?[8];
            _free.Clear();
            _used = 1;
            _count = 0;
        }

        foreach (RealBank? bank in banks)
        {
            bank?.Memory.Release();
        }
    }
}
