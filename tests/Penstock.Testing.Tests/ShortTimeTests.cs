namespace Penstock.Tests;

/// <summary>What begins anew after an honest part that was late, and what does not.</summary>
public sealed class ShortTimeTests
{
    private static readonly TimeSpan First = TimeSpan.FromMilliseconds(50);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Try_HonestPartFailsLate_BeginsAnewWithALongerTime(bool asynchronous)
    {
        var lengths = new List<TimeSpan>();
        await ShortTime.Try(First, time =>
        {
            lengths.Add(time.Length);
            return asynchronous ? Late() : Synchronous();

            async Task Late() => await time.Honest(async () =>
            {
                await Task.Delay(time.Length * (lengths.Count == 1 ? 2 : 0));
                Assert.Equal(2, lengths.Count);
            });

            Task Synchronous()
            {
                time.Honest(() =>
                {
                    Thread.Sleep(time.Length * (lengths.Count == 1 ? 2 : 0));
                    Assert.Equal(2, lengths.Count);
                });
                return Task.CompletedTask;
            }
        });
        Assert.Equal([First, First * 4], lengths);
    }

    [Fact]
    public async Task Try_FailsThoughNothingWasLate_FailsAtOnce()
    {
        int tries = 0;
        await Assert.ThrowsAsync<InvalidOperationException>(() => ShortTime.Try(TimeSpan.FromMinutes(10), time =>
        {
            tries++;
            time.Honest(Fail);
            return Task.CompletedTask;
        }));
        Assert.Equal(1, tries);

        static void Fail() => throw new InvalidOperationException();
    }
}
