using Penstock.Devices;
using Penstock.Interop;
using Penstock.Pci;
using Penstock.Vfio;

namespace Penstock.Drivers.Tests;

/// <summary>The driver at a card; where the card is, derived classes say.</summary>
public abstract class Idio16DriverTests : IDisposable
{
    private const uint Bar = 2;
    private const ulong FiltersOfInputs0To7 = 7;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    private readonly Idio16Function _card = new(0x8001);
    private readonly DriverSlot _slot;
    private readonly Idio16Driver _driver;

    protected Idio16DriverTests(Func<IPciFunction, DriverSlot> plug)
    {
        ArgumentNullException.ThrowIfNull(plug);
        _slot = plug(_card);
        _driver = new Idio16Driver(_slot.Device);
    }

    public void Dispose()
    {
        _driver.Dispose();
        _slot.Dispose();
        GC.SuppressFinalize(this);
    }

    [Fact]
    public void Inputs_AreThoseOfTheCard()
    {
        Assert.Equal(0x8001, _driver.Inputs);
        _card.SetInput(9, true);
        Assert.Equal(0x8201, _driver.Inputs);
        Assert.True(_driver.GetInput(9));
        Assert.False(_driver.GetInput(8));
        Assert.Throws<ArgumentOutOfRangeException>(() => _driver.GetInput(16));
    }

    [Fact]
    public void Outputs_SetAsAWordOrByLine_AreTheCards()
    {
        _driver.Outputs = 0xa55a;
        Assert.Equal(0xa55a, _card.Outputs);
        _driver.SetOutput(0, true);
        _driver.SetOutput(15, false);
        Assert.Equal((0x255b, 0x255b), (_card.Outputs, _driver.Outputs));
    }

    [Fact]
    public void SetFilters_OnAndOff_AreTheCards()
    {
        foreach (bool on in (bool[])[true, false])
        {
            _driver.SetFilters(on);
            Assert.Equal(on ? 0xff : 0, _slot.Device.Read8(Bar, FiltersOfInputs0To7));
        }
    }

    [Fact]
    public async Task WaitForChange_InputThatChanges_IsTold()
    {
        Task<Idio16InputChange> wait = _driver.WaitForChangeAsync(_driver.Changes);
        Assert.False(wait.IsCompleted);
        _card.SetInput(3, true);
        Idio16InputChange change = await wait.WaitAsync(Patience);
        Assert.Equal(new Idio16InputChange(1, 0x8009), change);

        // The next one, and one that came before anybody waited.
        _card.SetInput(3, false);
        change = await _driver.WaitForChangeAsync(change.Number).WaitAsync(Patience);
        Assert.Equal(new Idio16InputChange(2, 0x8001), change);
        Assert.Equal(2, (await _driver.WaitForChangeAsync(0)).Number);
    }

    [Fact]
    public async Task WaitForInputs_UntilTheyAreAsWanted_PassesOverOthers()
    {
        Task<ushort> wait = _driver.WaitForInputsAsync(static inputs => (inputs & 0x0300) == 0x0300);
        _card.SetInput(8, true);
        Assert.False(wait.IsCompleted);
        _card.SetInput(9, true);
        Assert.Equal(0x8301, await wait.WaitAsync(Patience));
    }

    [Fact]
    public async Task WaitForChange_Cancelled_EndsAndLeavesOthers()
    {
        using var stop = new CancellationTokenSource();
        Task<Idio16InputChange> cancelled = _driver.WaitForChangeAsync(0, stop.Token);
        Task<Idio16InputChange> other = _driver.WaitForChangeAsync(0);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        Assert.False(other.IsCompleted);
        _card.SetInput(1, true);
        Assert.Equal(0x8003, (await other.WaitAsync(Patience)).Inputs);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => _driver.WaitForChangeAsync(100, stop.Token));
    }

    [Fact]
    public async Task Dispose_WhileSomebodyWaits_EndsTheWait()
    {
        Task<Idio16InputChange> wait = _driver.WaitForChangeAsync(0);
        _driver.Dispose();
        await Assert.ThrowsAsync<ObjectDisposedException>(() => wait.WaitAsync(Patience));
        await Assert.ThrowsAsync<ObjectDisposedException>(() => _driver.WaitForChangeAsync(0));
        _card.SetInput(2, true);
        Assert.Equal(0, _card.InterruptsRaised);
    }

    [Fact]
    public async Task ManyChanges_WithOneWaiterInALoop_NoneIsMissedAtTheEnd()
    {
        using var stop = new CancellationTokenSource(Patience);
        Task<ushort> wait = _driver.WaitForInputsAsync(static inputs => inputs == 0xffff, stop.Token);
        for (int i = 0; i < 200; i++)
        {
            _card.SetInput(i % 16, false);
            _card.SetInput(i % 16, i < 184 ? i % 3 == 0 : true);
        }

        Assert.Equal(0xffff, await wait);
    }

    [Fact]
    public void Driver_OfAnotherDevice_IsRefusedByName()
    {
        using var edu = new InProcessSlot(new EduFunction());
        var error = Assert.Throws<VfioException>(() => new Idio16Driver(edu.Device));
        Assert.Equal(Errno.ENODEV, error.Errno);
        Assert.Contains("1234:11e8", error.Message, StringComparison.Ordinal);
    }
}
